package dynamo

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/oci"
	"berth/s3lite/sigv4"
	"berth/s3lite/wire"
)

// service is as much of DynamoDB as the index uses, in memory. It knows the
// expressions that the index sends, and no others.
type service struct {
	mu     sync.Mutex
	tables map[string]map[string][]string // nil: the table is being made
	making bool                           // a table that is made is not ready
	calls  map[string]int
	fail   func(op string) (status int, code string)
}

// request is what the calls say.
type request struct {
	TableName                                           string
	Key                                                 map[string]struct{ S string }
	KeySchema, AttributeDefinitions                     []map[string]string
	UpdateExpression, ConditionExpression, ReturnValues string
	ExpressionAttributeValues                           map[string]struct{ SS []string }
	BillingMode, ProjectionExpression                   string
	ConsistentRead                                      bool
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "DynamoDB_20120810.")
	s.calls[op]++
	var in request
	switch auth := r.Header.Get("Authorization"); {
	case !strings.HasPrefix(auth, "AWS4-HMAC-SHA256 Credential=AKID/") || !strings.Contains(auth, "/us-east-2/dynamodb/aws4_request"):
		refuse(w, 400, "MissingAuthenticationTokenException")
	case r.Method != "POST" || r.URL.Path != "/" || r.Header.Get("Content-Type") != "application/x-amz-json-1.0" || json.NewDecoder(r.Body).Decode(&in) != nil:
		refuse(w, 400, "SerializationException")
	default:
		if s.fail != nil {
			if status, code := s.fail(op); status != 0 {
				refuse(w, status, code)
				return
			}
		}
		s.answer(w, op, in)
	}
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"refused by the test"}`, code)
}

func (s *service) answer(w http.ResponseWriter, op string, in request) {
	items, there := s.tables[in.TableName]
	key := in.Key[keyAttribute].S
	if op == "CreateTable" {
		if there {
			refuse(w, 400, "ResourceInUseException")
			return
		}
		if len(in.KeySchema) != 1 || in.KeySchema[0]["AttributeName"] != keyAttribute || in.BillingMode == "" {
			refuse(w, 400, "ValidationException")
			return
		}
		s.tables[in.TableName] = map[string][]string{}
		if s.making {
			s.tables[in.TableName] = nil
		}
		fmt.Fprint(w, `{"TableDescription":{"TableStatus":"CREATING"}}`)
		return
	}
	switch {
	case items == nil:
		refuse(w, 400, "ResourceNotFoundException")
	case len(in.Key) != 1 || key == "":
		refuse(w, 400, "ValidationException")
	case op == "GetItem":
		tell(w, "Item", key, items)
	case op == "UpdateItem":
		s.update(w, in, key, items)
	case op == "DeleteItem" && in.ConditionExpression == "attribute_not_exists(Repositories)":
		if len(items[key]) > 0 {
			refuse(w, 400, "ConditionalCheckFailedException")
			return
		}
		delete(items, key)
		fmt.Fprint(w, "{}")
	default:
		refuse(w, 400, "ValidationException")
	}
}

// tell answers with an item.
func tell(w http.ResponseWriter, name, key string, items map[string][]string) {
	repos, there := items[key]
	switch {
	case !there:
		fmt.Fprint(w, "{}")
	case len(repos) == 0:
		fmt.Fprintf(w, `{%q:{"Digest":{"S":%q}}}`, name, key)
	default:
		text, _ := json.Marshal(repos)
		fmt.Fprintf(w, `{%q:{"Digest":{"S":%q},"Repositories":{"SS":%s}}}`, name, key, text)
	}
}

func (s *service) update(w http.ResponseWriter, in request, key string, items map[string][]string) {
	repos, values := items[key], in.ExpressionAttributeValues[":r"].SS
	slices.Sort(values)
	switch {
	case len(values) == 0 || len(slices.Compact(slices.Clone(values))) != len(values):
		refuse(w, 400, "ValidationException")
	case in.UpdateExpression == "ADD Repositories :r" && in.ConditionExpression == "attribute_not_exists(Repositories) OR size(Repositories) < :most":
		if len(repos) >= maxHolders {
			refuse(w, 400, "ConditionalCheckFailedException")
			return
		}
		repos = append(slices.Clone(repos), values...)
		slices.Sort(repos)
		items[key] = slices.Compact(repos)
		fmt.Fprint(w, "{}")
	case in.UpdateExpression == "DELETE Repositories :r" && in.ConditionExpression == "attribute_exists(Repositories)" && in.ReturnValues == "ALL_NEW":
		if len(repos) == 0 {
			refuse(w, 400, "ConditionalCheckFailedException")
			return
		}
		items[key] = slices.DeleteFunc(slices.Clone(repos), func(r string) bool { return slices.Contains(values, r) })
		tell(w, "Attributes", key, items)
	default:
		refuse(w, 400, "ValidationException")
	}
}

// items returns what a table holds.
func (s *service) items(name string) map[string][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.tables[name])
}

func (s *service) count(op string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[op]
}

// set changes the service while others use it.
func (s *service) set(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

// serve starts a service that has no table.
func serve(t testing.TB) (*service, string) {
	s := &service{tables: map[string]map[string][]string{}, calls: map[string]int{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, server.URL
}

// keys are credentials.
type keys struct{}

func (keys) Get(context.Context) (sigv4.Credentials, error) {
	return sigv4.Credentials{AccessKeyID: "AKID", SecretKey: sigv4.NewSecret("SECRET")}, nil
}
func (keys) Refused(sigv4.Credentials) {}

// hasty is a clock whose waits of up to an hour end at once, as if they had
// passed; longer ones never do.
type hasty struct {
	mu  sync.Mutex
	off time.Duration
}

func (c *hasty) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Unix(1_800_000_000, 0).Add(c.off)
}

func (c *hasty) AfterFunc(d time.Duration, f func()) wire.Timer {
	if d == stall { // that of a connection, which is not what these tests are about
		return time.AfterFunc(time.Hour, func() {})
	}
	c.mu.Lock()
	c.off += d
	c.mu.Unlock()
	return time.AfterFunc(0, f)
}

// open makes an index; run has it write until the test ends.
func open(t testing.TB, url string, change func(*Options)) *Index {
	t.Helper()
	o := Options{Endpoint: url, Region: "us-east-2", Table: "Blobs", Scope: "s3://bucket/root", Credentials: keys{}, Clock: &hasty{}}
	if change != nil {
		change(&o)
	}
	x, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func run(t testing.TB, x *Index) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- x.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// eventually waits for what Run is about to do.
func eventually(t testing.TB, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !check(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func holders(t testing.TB, x *Index, d oci.Digest, most int) string {
	t.Helper()
	repos, err := x.Holders(t.Context(), d, most)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(repos)
}
