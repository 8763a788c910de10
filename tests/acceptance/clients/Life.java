// The life of a webhook, and every kind of body, by the Java client of OpenAPI Generator.
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.MapperFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.time.OffsetDateTime;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.api.*;
import org.openapitools.client.model.*;

public class Life {
    static final Map<String, String> ENV = System.getenv();
    static final ApiClient CLIENT = new ApiClient();
    // Otherwise, Jackson reads an id such as "007" as a number.
    static final ObjectMapper MAPPER = CLIENT.getObjectMapper().configure(MapperFeature.ALLOW_COERCION_OF_SCALARS, false);

    public static void main(String[] arguments) throws Exception {
        CLIENT.setObjectMapper(MAPPER);
        CLIENT.updateBaseUri(ENV.get("TMS_URL"));
        CLIENT.setRequestInterceptor(request -> request.header("Authorization", "Api-Key " + ENV.get("TMS_KEY")));
        live();
        read();
    }

    static void live() throws Exception {
        var webhooks = new WebhooksApi(CLIENT);
        var subscriptions = new SubscriptionsApi(CLIENT);
        var created = webhooks.webhookCreate(
            new WebhookRequest()
                .organization(Integer.valueOf(ENV.get("TMS_ORGANIZATION")))
                .name("Payroll")
                .url(ENV.get("RECEIVER_URL"))
                .addSubscriptionsItem(new SubscriptionRequest().eventType("class.*")),
            null);
        var id = created.getId();
        var added = subscriptions.subscriptionCreate(id, new SubscriptionRequest().eventType("enrollment.requested"), null, null);
        print("subscribed:", added.getEventType());
        var test = webhooks.webhookTest(id, null, null);
        print("test:", test.getStatusCode());
        var count = webhooks.webhookSnapshot(id, new SnapshotRequest().addNounsItem("class").dryRun(true), null);
        print("dry run:", count.getTotal(), count.getJobs().size());
        var started = webhooks.webhookSnapshot(id, new SnapshotRequest().addNounsItem("class"), null);
        var job = new JobsApi(CLIENT).jobRetrieve(started.getJobs().get(0).getId());
        print("snapshot:", started.getTotal(), job.getKind(), job.getStatus());
        print("resent:", new DeliveriesApi(CLIENT).deliveryResend(test.getDelivery(), null, null).getStatus());
        print("rotated:", !created.getSecret().equals(webhooks.webhookRotateSecret(id, null, null, null).getSecret()));
        for (var one : webhooks.webhookList(null, null, null, "Payroll", null, null, null).getResults()) {
            print("webhooks:", one.getName());
        }
        subscriptions.subscriptionDestroy(added.getId(), id, null);
        webhooks.webhookDestroy(id, null);
        try {
            webhooks.webhookRetrieve(id);
        } catch (ApiException error) {
            print("deleted:", MAPPER.readValue(error.getResponseBody(), Problem.class).getType());
        }
    }

    static void read() throws Exception {
        var bodies = MAPPER.readValue(new File(ENV.get("BODIES")), String[].class);
        for (var text : bodies) {
            var event = MAPPER.readTree(text);
            var name = Stream.of(event.get("type").asText().split("[._]"))
                .map(part -> part.substring(0, 1).toUpperCase() + part.substring(1))
                .collect(Collectors.joining());
            var made = MAPPER.readValue(text, Class.forName("org.openapitools.client.model." + name + "Event"));
            if (!holds(MAPPER.valueToTree(made), event)) {
                throw new AssertionError(text);
            }
        }
        print("bodies:", bodies.length);
    }

    /** Return whether each value of an event is in the object that the client made of it. */
    static boolean holds(JsonNode made, JsonNode event) {
        if (event.isNull()) {
            return made == null || made.isNull();
        }
        if (event.isObject()) {
            for (var names = event.fieldNames(); names.hasNext(); ) {
                var name = names.next();
                if (!holds(made.get(name), event.get(name))) {
                    return false;
                }
            }
            return true;
        }
        if (event.isArray()) {
            // A Java set has no order.
            return made.size() == event.size();
        }
        if (event.isTextual() && event.asText().endsWith("Z") && event.asText().length() == 24) {
            return OffsetDateTime.parse(made.asText()).isEqual(OffsetDateTime.parse(event.asText()));
        }
        return event.isNumber() ? made.decimalValue().compareTo(event.decimalValue()) == 0 : made.equals(event);
    }

    static void print(Object... values) {
        System.out.println(Stream.of(values).map(String::valueOf).collect(Collectors.joining(" ")));
    }
}
