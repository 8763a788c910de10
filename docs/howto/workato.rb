# A Workato connector with one trigger, which subscribes itself to an event of the training system.
{
  title: "Training system",

  connection: {
    fields: [
      { name: "url", label: "URL of the API", hint: "Such as https://tms.example.com/api", optional: false },
      { name: "key", label: "API key", control_type: "password", optional: false }
    ],
    authorization: {
      type: "custom_auth",
      apply: lambda do |connection|
        headers("Authorization": "Bearer #{connection["key"]}")
      end
    },
    base_uri: lambda do |connection|
      "#{connection["url"].chomp("/")}/"
    end
  },

  test: lambda do |_connection|
    get("me/")
  end,

  triggers: {
    event: {
      title: "New event",
      input_fields: lambda do |_object_definitions|
        [{ name: "event", hint: "Such as class.cancelled", optional: false }]
      end,
      webhook_subscribe: lambda do |webhook_url, _connection, input, _recipe_id|
        post("hooks/", target_url: webhook_url, event: input["event"])
      end,
      webhook_notification: lambda do |_input, payload|
        payload
      end,
      webhook_unsubscribe: lambda do |webhook|
        delete("hooks/#{webhook["id"]}/")
      end,
      dedup: lambda do |event|
        event["id"]
      end,
      output_fields: lambda do |_object_definitions|
        [{ name: "id" }, { name: "type" }, { name: "timestamp" }, { name: "data", type: "object", properties: [{ name: "id" }] }]
      end
    }
  }
}
