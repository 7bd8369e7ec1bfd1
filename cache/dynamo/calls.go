package dynamo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"berth/s3lite/wire"
)

// The kinds of failure that matter here.
var (
	errNoTable   = errors.New("no such table")
	errTable     = errors.New("the table is there, or about to be")
	errCondition = errors.New("a condition does not hold")
)

const (
	keyAttribute   = "Digest"
	reposAttribute = "Repositories"
	// maxHolders is how many repositories an item has at most: far below what
	// an item may weigh, and more than anybody asks for.
	maxHolders = 256
	// maxAnswer bounds an answer; an item has at most 400 KB.
	maxAnswer = 1 << 20

	attempts = 2
	stall    = 5 * time.Second
)

// table makes the calls to one table.
type table struct {
	wire   *wire.Client
	url    url.URL
	region string
	name   string
}

func newTable(o Options) (*table, error) {
	address := o.Endpoint
	if address == "" {
		address = "https://dynamodb." + o.Region + ".amazonaws.com"
		if strings.HasPrefix(o.Region, "cn-") {
			address += ".cn"
		}
	}
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, errors.New("the endpoint is no address")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, errors.New(`the endpoint is an address that begins with http:// or https://`)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return nil, errors.New("the endpoint has more than a scheme and a host")
	}
	u.Path = "/"
	return &table{
		url: *u, region: o.Region, name: o.Table,
		wire: wire.New(wire.Options{
			RoundTripper: o.RoundTripper, Service: "dynamodb", Credentials: o.Credentials, UserAgent: "berth",
			Fault: faultOf, Kind: kindOf, Attempts: attempts, Stall: stall, Clock: o.Clock, Log: o.Log,
		}),
	}, nil
}

// faultOf reads the answer to a call that failed.
func faultOf(header http.Header, body []byte) wire.Fault {
	var f struct {
		Type    string `json:"__type"`
		Message string `json:"message"` // in either case
	}
	_ = json.Unmarshal(body, &f) // what is no JSON comes from a proxy
	_, code, found := strings.Cut(f.Type, "#")
	if !found {
		code = f.Type
	}
	return wire.Fault{Code: code, Message: f.Message, RequestID: header.Get("X-Amzn-Requestid")}
}

func kindOf(e *wire.Error) error {
	switch e.Code {
	case "ResourceNotFoundException":
		return errNoTable
	case "ResourceInUseException":
		return errTable
	case "ConditionalCheckFailedException":
		return errCondition
	}
	return nil
}

// object is a JSON object that is sent.
type object map[string]any

// do makes a call and reads its answer into a value; nil: nobody wants it.
func (t *table) do(ctx context.Context, op string, input object, into any) error {
	input["TableName"] = t.name
	text, err := json.Marshal(input)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	_, err = t.wire.Do(ctx, &wire.Request{
		Op: op, Target: t.name, Method: http.MethodPost, Body: wire.Bytes(text),
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}, "X-Amz-Target": {"DynamoDB_20120810." + op}},
		Place:  func() wire.Place { return wire.Place{URL: t.url, Region: t.region} },
		Read: func(_ http.Header, body io.Reader) error {
			answer, err := io.ReadAll(io.LimitReader(body, maxAnswer+1))
			if err != nil || into == nil {
				return err
			}
			return json.NewDecoder(bytes.NewReader(answer)).Decode(into)
		},
	})
	return err
}

// create makes the table. That it is there already, or being made, is no
// failure; either way it may not be ready yet.
func (t *table) create(ctx context.Context) error {
	err := t.do(ctx, "CreateTable", object{
		"AttributeDefinitions": []object{{"AttributeName": keyAttribute, "AttributeType": "S"}},
		"KeySchema":            []object{{"AttributeName": keyAttribute, "KeyType": "HASH"}},
		"BillingMode":          "PAY_PER_REQUEST",
	}, nil)
	if errors.Is(err, errTable) {
		return nil
	}
	return err
}

// item is what an answer holds of one.
type item struct {
	Repositories struct{ SS []string }
}

// get reads an item; one that is not there is empty.
func (t *table) get(ctx context.Context, key string) ([]string, error) {
	var answer struct{ Item item }
	err := t.do(ctx, "GetItem", object{"Key": keyOf(key), "ConsistentRead": true, "ProjectionExpression": reposAttribute}, &answer)
	return answer.Item.Repositories.SS, err
}

// add adds repositories to an item, which need not be there, unless it has
// enough.
func (t *table) add(ctx context.Context, key string, repos []string) error {
	err := t.do(ctx, "UpdateItem", object{
		"Key": keyOf(key), "UpdateExpression": "ADD " + reposAttribute + " :r",
		"ConditionExpression": "attribute_not_exists(" + reposAttribute + ") OR size(" + reposAttribute + ") < :most",
		"ExpressionAttributeValues": object{
			":r": object{"SS": repos}, ":most": object{"N": fmt.Sprint(maxHolders)},
		},
	}, nil)
	if errors.Is(err, errCondition) {
		return nil
	}
	return err
}

// remove takes repositories out of an item, and the item away with the last.
func (t *table) remove(ctx context.Context, key string, repos []string) error {
	var answer struct{ Attributes item }
	err := t.do(ctx, "UpdateItem", object{
		"Key": keyOf(key), "UpdateExpression": "DELETE " + reposAttribute + " :r",
		"ConditionExpression":       "attribute_exists(" + reposAttribute + ")",
		"ExpressionAttributeValues": object{":r": object{"SS": repos}}, "ReturnValues": "ALL_NEW",
	}, &answer)
	if err == nil && len(answer.Attributes.Repositories.SS) == 0 {
		err = t.do(ctx, "DeleteItem", object{
			"Key": keyOf(key), "ConditionExpression": "attribute_not_exists(" + reposAttribute + ")",
		}, nil)
	}
	if errors.Is(err, errCondition) || errors.Is(err, errNoTable) {
		return nil // it is as it should be, or another one added something
	}
	return err
}

func keyOf(key string) object { return object{keyAttribute: object{"S": key}} }
