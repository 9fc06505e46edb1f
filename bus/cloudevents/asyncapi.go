package cloudevents

import (
	"encoding/json"
	"fmt"
)

// The parts of an AsyncAPI 3.0 document that are used here (asyncapi.com/docs/reference/specification/v3.0.0).
type (
	asyncDocument struct {
		AsyncAPI           string                    `json:"asyncapi"`
		Info               asyncInfo                 `json:"info"`
		DefaultContentType string                    `json:"defaultContentType"`
		Servers            map[string]asyncServer    `json:"servers"`
		Channels           map[string]asyncChannel   `json:"channels"`
		Operations         map[string]asyncOperation `json:"operations"`
		Components         asyncComponents           `json:"components"`
	}
	asyncInfo struct {
		Title       string            `json:"title"`
		Version     string            `json:"version"`
		Description string            `json:"description"`
		License     map[string]string `json:"license"`
	}
	asyncServer struct {
		Host        string `json:"host"`
		Protocol    string `json:"protocol"`
		Description string `json:"description"`
	}
	asyncChannel struct {
		Address     string              `json:"address"`
		Description string              `json:"description"`
		Parameters  map[string]asyncRef `json:"parameters,omitempty"`
		Messages    map[string]asyncRef `json:"messages"`
	}
	asyncOperation struct {
		Action   string     `json:"action"`
		Channel  asyncRef   `json:"channel"`
		Summary  string     `json:"summary"`
		Messages []asyncRef `json:"messages"`
	}
	asyncRef struct {
		Ref string `json:"$ref"`
	}
	asyncComponents struct {
		Messages   map[string]asyncMessage   `json:"messages"`
		Parameters map[string]asyncParameter `json:"parameters"`
	}
	asyncParameter struct {
		Description string `json:"description"`
	}
	asyncMessage struct {
		Name        string         `json:"name"`
		Title       string         `json:"title"`
		Description string         `json:"description"`
		ContentType string         `json:"contentType"`
		Headers     headerSchema   `json:"headers"`
		Payload     asyncSchema    `json:"payload"`
		Examples    []asyncExample `json:"examples"`
	}
	asyncSchema struct {
		SchemaFormat string          `json:"schemaFormat"`
		Schema       json.RawMessage `json:"schema"`
	}
	asyncExample struct {
		Name    string            `json:"name"`
		Headers map[string]string `json:"headers"`
		Payload json.RawMessage   `json:"payload"`
	}
	headerSchema struct {
		Type       string                    `json:"type"`
		Required   []string                  `json:"required"`
		Properties map[string]headerProperty `json:"properties"`
	}
	headerProperty struct {
		Type        string `json:"type"`
		Const       string `json:"const,omitempty"`
		Format      string `json:"format,omitempty"`
		Description string `json:"description,omitempty"`
	}
)

// documentVersion rises with each change of the document: the second number when something is added, the first when something that
// consumers may lean on goes.
const documentVersion = "1.1.0"

// AsyncAPI returns the AsyncAPI 3.0 document of all public event types, as indented JSON. It is the same bytes each time.
func AsyncAPI() ([]byte, error) {
	types, err := Types()
	if err != nil {
		return nil, err
	}
	doc := asyncDocument{
		AsyncAPI: "3.0.0",
		Info: asyncInfo{
			Title: "Evenkeel events", Version: documentVersion, License: map[string]string{"name": "Apache-2.0"},
			Description: "Public events of Evenkeel: CloudEvents 1.0 on NATS in binary mode (attributes in headers, JSON data). " +
				"Each part of a subject is lower-case letters, digits and \"-\"; any other byte is \"_\" and two hexadecimal digits. " +
				"Each event comes exactly once in the stream EVENTS; who subscribes without it may miss events. " +
				"Ignore attributes and fields that you do not know: they may come with any release.",
		},
		DefaultContentType: "application/json",
		Servers:            map[string]asyncServer{"nats": {Host: "127.0.0.1:4222", Protocol: "nats", Description: "The NATS listener of evenkeel run, with a user's token."}},
		Channels:           map[string]asyncChannel{}, Operations: map[string]asyncOperation{},
		Components: asyncComponents{Messages: map[string]asyncMessage{}, Parameters: map[string]asyncParameter{}},
	}
	for i := range types {
		doc.add(&types[i])
	}
	b, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("cloudevents: encode the AsyncAPI document: %w", err)
	}
	return append(b, '\n'), nil
}

func (d *asyncDocument) add(t *Type) {
	c := asyncChannel{Address: t.Subject, Description: t.Description, Messages: map[string]asyncRef{t.Name: {"#/components/messages/" + t.Name}}}
	for _, p := range t.parameters() {
		if c.Parameters == nil {
			c.Parameters = map[string]asyncRef{}
		}
		c.Parameters[p] = asyncRef{"#/components/parameters/" + p}
		d.Components.Parameters[p] = asyncParameter{Description: parameterText(p)}
	}
	d.Channels[t.Key] = c
	d.Operations["send."+t.Key] = asyncOperation{
		Action: "send", Channel: asyncRef{"#/channels/" + t.Key}, Summary: t.Description, Messages: []asyncRef{{"#/channels/" + t.Key + "/messages/" + t.Name}},
	}
	d.Components.Messages[t.Name] = asyncMessage{
		Name: t.Name, Title: t.Key, Description: t.Description, ContentType: "application/json", Headers: headers(t),
		Payload:  asyncSchema{SchemaFormat: "application/schema+json;version=draft-2020-12", Schema: t.Schema},
		Examples: []asyncExample{{Name: t.Key, Payload: t.Example, Headers: exampleHeaders(t)}},
	}
}

func parameterText(name string) string {
	switch name {
	case "globalNamespace":
		return "Global namespace, \"default\" where there is none."
	case "service":
		return "Service."
	case "slo":
		return "Name of the SLO."
	case "kind":
		return "Kind of the definition in lower case."
	}
	return "Name of the definition."
}

func headers(t *Type) headerSchema {
	return headerSchema{
		Type: "object", Required: []string{"ce-specversion", "ce-id", "ce-source", "ce-type", "ce-subject", "ce-time", "content-type"},
		Properties: map[string]headerProperty{
			"ce-specversion": {Type: "string", Const: specVersion},
			"ce-id":          {Type: "string", Description: "Unique together with ce-source; a repetition has the same."},
			"ce-source":      {Type: "string", Format: "uri-reference", Description: "Which stage and partition: /evenkeel/<stage>/<partition>."},
			"ce-type":        {Type: "string", Const: t.Name},
			"ce-subject":     {Type: "string", Description: "What it is about: " + t.About + "."},
			"ce-time":        {Type: "string", Format: "date-time", Description: "When it happened; it may have been stored later."},
			"content-type":   {Type: "string", Const: "application/json"},
		},
	}
}

func exampleHeaders(t *Type) map[string]string {
	return map[string]string{
		"ce-specversion": specVersion, "ce-id": "slo.3.4711", "ce-source": "/evenkeel/slo/3", "ce-type": t.Name, "ce-subject": t.exampleAbout(), "ce-time": "2026-01-02T15:04:05.000Z",
		"content-type": "application/json",
	}
}
