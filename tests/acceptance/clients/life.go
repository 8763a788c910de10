// The life of a webhook, and every kind of body, by the Go client of OpenAPI Generator.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	tms "github.com/GIT_USER_ID/GIT_REPO_ID"
)

func main() {
	configuration := tms.NewConfiguration()
	configuration.Servers = tms.ServerConfigurations{{URL: os.Getenv("TMS_URL")}}
	key := tms.APIKey{Key: os.Getenv("TMS_KEY"), Prefix: "Api-Key"}
	ctx := context.WithValue(context.Background(), tms.ContextAPIKeys, map[string]tms.APIKey{"apiKey": key})
	live(ctx, tms.NewAPIClient(configuration))
	read()
}

func live(ctx context.Context, client *tms.APIClient) {
	organization, err := strconv.ParseInt(os.Getenv("TMS_ORGANIZATION"), 10, 32)
	check(err)
	request := tms.NewWebhookRequest(int32(organization), "Payroll")
	request.SetUrl(os.Getenv("RECEIVER_URL"))
	request.SetSubscriptions([]tms.SubscriptionRequest{*tms.NewSubscriptionRequest("class.*")})
	created := must(client.WebhooksAPI.WebhookCreate(ctx).WebhookRequest(*request).Execute())
	id := created.Id
	added := must(client.SubscriptionsAPI.SubscriptionCreate(ctx, id).
		SubscriptionRequest(*tms.NewSubscriptionRequest("enrollment.requested")).Execute())
	fmt.Println("subscribed:", added.EventType)
	test := must(client.WebhooksAPI.WebhookTest(ctx, id).Execute())
	fmt.Println("test:", test.GetStatusCode())
	snapshot := tms.NewSnapshotRequest([]string{"class"})
	snapshot.SetDryRun(true)
	count := must(client.WebhooksAPI.WebhookSnapshot(ctx, id).SnapshotRequest(*snapshot).Execute())
	fmt.Println("dry run:", count.Total, len(count.Jobs))
	snapshot.SetDryRun(false)
	started := must(client.WebhooksAPI.WebhookSnapshot(ctx, id).SnapshotRequest(*snapshot).Execute())
	job := must(client.JobsAPI.JobRetrieve(ctx, started.Jobs[0].Id).Execute())
	fmt.Println("snapshot:", started.Total, job.Kind, job.Status)
	resent := must(client.DeliveriesAPI.DeliveryResend(ctx, test.Delivery).Execute())
	fmt.Println("resent:", resent.Status)
	rotated := must(client.WebhooksAPI.WebhookRotateSecret(ctx, id).Execute())
	fmt.Println("rotated:", rotated.GetSecret() != created.GetSecret())
	for _, one := range must(client.WebhooksAPI.WebhookList(ctx).Name("Payroll").Execute()).Results {
		fmt.Println("webhooks:", one.Name)
	}
	_, err = client.SubscriptionsAPI.SubscriptionDestroy(ctx, added.Id, id).Execute()
	check(err)
	_, err = client.WebhooksAPI.WebhookDestroy(ctx, id).Execute()
	check(err)
	_, _, err = client.WebhooksAPI.WebhookRetrieve(ctx, id).Execute()
	fmt.Println("deleted:", err.(*tms.GenericOpenAPIError).Model().(tms.Problem).Type)
}

func read() {
	text, err := os.ReadFile(os.Getenv("BODIES"))
	check(err)
	var bodies []string
	check(json.Unmarshal(text, &bodies))
	for _, body := range bodies {
		var event, kept map[string]any
		check(json.Unmarshal([]byte(body), &event))
		made := MODELS[event["type"].(string)]()
		check(json.Unmarshal([]byte(body), made))
		written, err := json.Marshal(made)
		check(err)
		check(json.Unmarshal(written, &kept))
		if !holds(kept, event) {
			panic(body + "\n" + string(written))
		}
	}
	fmt.Println("bodies:", len(bodies))
}

// holds says whether each value of an event is in the object that the client made of it.
func holds(made, event any) bool {
	switch event := event.(type) {
	case map[string]any:
		for name, value := range event {
			if !holds(made.(map[string]any)[name], value) {
				return false
			}
		}
		return true
	case []any:
		if len(made.([]any)) != len(event) {
			return false
		}
		for index, value := range event {
			if !holds(made.([]any)[index], value) {
				return false
			}
		}
		return true
	case string:
		if made, ok := made.(string); ok && strings.HasSuffix(event, "Z") {
			one, _ := time.Parse(time.RFC3339, made)
			other, _ := time.Parse(time.RFC3339, event)
			return one.Equal(other)
		}
	}
	return made == event
}

func must[Value any](value Value, _ any, err error) Value {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
