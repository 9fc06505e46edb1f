package jetstream

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// accountInternal is the one account that has streams. Every other role has an account of its own that reaches only what is
// imported into it: permissions alone would not hold, since JetStream delivers to any reply or deliver subject that a request names
// with the rights of the account, and so writes what the caller may not.
const accountInternal = "EVENKEEL"

// A grant is one service of the internal account that another may call.
type grant struct {
	subject string
	as      string // the subject that the caller publishes to; "" is the same
	many    bool   // it may answer with many messages
}

// asked is the subject that the caller publishes to.
func (g grant) asked() string {
	if g.as != "" {
		return g.as
	}
	return g.subject
}

// local is the subject of the import in the caller's account. Every account answers $JS.API itself (here: "not enabled"); so calls
// of it are mapped to a name of their own before they are imported.
func (g grant) local() string {
	if rest, ok := strings.CutPrefix(g.asked(), apiPrefix); ok {
		return localPrefix + rest
	}
	return g.asked()
}

func (g grant) answers() string {
	if g.many {
		return "stream"
	}
	return "single"
}

// mapping is the line of the account's configuration that maps what is asked to the local name, "" where they are the same.
func (g grant) mapping() string {
	if g.local() == g.asked() {
		return ""
	}
	to := g.local()
	for i := 1; strings.Contains(to, "*"); i++ {
		to = strings.Replace(to, "*", "$"+strconv.Itoa(i), 1)
	}
	return fmt.Sprintf("%q: %q\n", g.asked(), to)
}

// A right is what a role may do.
type right struct {
	account string
	grants  []grant
	beats   bool // it is a member: heartbeats in both directions
}

// rightsOf returns the rights of a role.
func rightsOf(r Role) (right, bool) {
	switch r {
	case RoleAdmin:
		return right{account: accountInternal}, true
	case RoleIngest:
		return right{"INGEST", append(reads("*"), grant{subject: "log.frame.>"}, grant{subject: "log.observation.>"}), true}, true
	case RoleDecider:
		g := append(reads("*"), grant{subject: "$JS.API.STREAM.PURGE.LOG"}, grant{subject: "$JS.API.STREAM.PURGE.SNAP"})
		for _, s := range []string{"log.commit.>", "log.copy.>", "log.draft.>", "log.event.>", "log.status.>", "log.ledger.>", "log.detail.>", "log.tick", "heads.>", "snap.>", "meta.>"} {
			g = append(g, grant{subject: s})
		}
		return right{"DECIDER", g, true}, true
	case RoleResult:
		return right{"RESULT", append(reads("*"), grant{subject: "log.result.>"}, grant{subject: "log.proposal.>"}), true}, true
	case RoleReader:
		return right{"PUBLIC", reads(streamEvents), false}, true
	}
	return right{}, false
}

func limitedRoles() []Role { return []Role{RoleIngest, RoleDecider, RoleResult, RoleReader} }

// reads grants what is needed to read a stream by messages and by pull consumers.
func reads(stream string) []grant {
	return []grant{
		{subject: "$JS.API.STREAM.INFO." + stream},
		{subject: "$JS.API.STREAM.MSG.GET." + stream},
		{subject: "$JS.API.DIRECT.GET." + stream},
		{subject: "$JS.API.DIRECT.GET." + stream + ".>"},
		{subject: proxyPrefix + "CONSUMER.CREATE." + stream + ".>", as: "$JS.API.CONSUMER.CREATE." + stream + ".>"},
		{subject: "$JS.API.CONSUMER.INFO." + stream + ".*"},
		{subject: "$JS.API.CONSUMER.DELETE." + stream + ".*"},
		{subject: "$JS.API.CONSUMER.MSG.NEXT." + stream + ".*", many: true},
	}
}

// permissions bounds what the members of a limited account can do among themselves: they share inboxes with their equals only.
func (r right) permissions() *server.Permissions {
	if r.account == accountInternal {
		return nil
	}
	var allow []string
	for _, g := range r.grants {
		allow = append(allow, g.asked(), g.local())
	}
	if r.beats {
		allow = append(allow, subjectBeat)
	}
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: allow},
		Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>", "evenkeel.>", subjectHeard, subjectBeat}},
	}
}

// accountsConfig is the part of the server's configuration that sets up accounts, in NATS' own notation.
func accountsConfig() string {
	var exports, accounts strings.Builder
	fmt.Fprintf(&exports, "{stream: %q}\n{stream: %q}\n{service: %q}\n", "evenkeel.>", subjectBeat, subjectBeat+".in")
	fmt.Fprintf(&exports, "{service: %q}\n{service: %q}\n", agentPut+"*", agentLast+"*")
	done := map[string]bool{}
	for _, role := range limitedRoles() {
		r, _ := rightsOf(role)
		var mappings strings.Builder
		fmt.Fprintf(&accounts, "%s { imports [\n{stream: {account: %s, subject: %q}}\n", r.account, accountInternal, "evenkeel.>")
		if r.beats {
			fmt.Fprintf(&accounts, "{stream: {account: %s, subject: %q}, to: %q}\n", accountInternal, subjectBeat, subjectHeard)
			fmt.Fprintf(&accounts, "{service: {account: %s, subject: %q}, to: %q}\n", accountInternal, subjectBeat+".in", subjectBeat)
		}
		for _, g := range r.grants {
			fmt.Fprintf(&accounts, "{service: {account: %s, subject: %q}, to: %q}\n", accountInternal, g.subject, g.local())
			mappings.WriteString(g.mapping())
			if !done[g.subject] {
				done[g.subject] = true
				fmt.Fprintf(&exports, "{service: %q, response_type: %s}\n", g.subject, g.answers())
			}
		}
		fmt.Fprintf(&accounts, "]\nmappings {\n%s}\n}\n", mappings.String())
	}
	return fmt.Sprintf("system_account: SYS\naccounts {\nSYS {}\n%s {\njetstream: enabled\nexports [\n%s]\n}\n%s}\n", accountInternal, exports.String(), accounts.String())
}

const (
	apiPrefix   = "$JS.API."
	localPrefix = "ek.js."
	proxyPrefix = "ek.api."
	proxyQueue  = "ek.api"
	// inactiveMax bounds how long a limited role's consumer outlives its reader.
	inactiveMax = 5 * time.Minute
)

// serveReaders answers the requests of limited roles for consumers: it lets through only those that deliver to whoever pulls. A
// deliver subject of the caller's choice would be a way to write.
func (s *Server) serveReaders() error {
	var err error
	if s.proxy, err = s.connect("evenkeel-readers"); err != nil {
		return fmt.Errorf("connect to the embedded server: %w", err)
	}
	if _, err = s.proxy.QueueSubscribe(proxyPrefix+"CONSUMER.CREATE.>", proxyQueue, s.createConsumer); err != nil {
		return fmt.Errorf("serve readers: %w", err)
	}
	// A limited member's heartbeat arrives as a call of a service, and goes on to all as what it is.
	_, err = s.proxy.QueueSubscribe(subjectBeat+".in", proxyQueue, func(m *nats.Msg) {
		s.proxy.Publish(subjectBeat, m.Data) //nolint:errcheck // the next one is a second away
	})
	return err
}

func (s *Server) createConsumer(m *nats.Msg) {
	if why := refuseConsumer(m.Data); why != "" {
		body, _ := json.Marshal(map[string]any{"type": "io.nats.jetstream.api.v1.consumer_create_response", "error": jetstream.APIError{Code: 403, ErrorCode: 10003, Description: why}})
		m.Respond(body) //nolint:errcheck // who asked will ask again
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	ask := &nats.Msg{Subject: apiPrefix + strings.TrimPrefix(m.Subject, proxyPrefix), Data: m.Data}
	if h := m.Header.Get("Nats-Required-Api-Level"); h != "" {
		ask.Header = nats.Header{"Nats-Required-Api-Level": {h}}
	}
	if r, err := s.proxy.RequestMsgWithContext(ctx, ask); err == nil {
		m.Respond(r.Data) //nolint:errcheck // who asked will ask again
	}
}

// refuseConsumer returns why a consumer is not for limited roles, or "".
func refuseConsumer(b []byte) string {
	var req struct {
		Config struct {
			Durable  string        `json:"durable_name"`
			Deliver  string        `json:"deliver_subject"`
			Ack      string        `json:"ack_policy"`
			Replicas int           `json:"num_replicas"`
			Inactive time.Duration `json:"inactive_threshold"`
		} `json:"config"`
	}
	if err := json.Unmarshal(b, &req); err != nil {
		return "the request cannot be read"
	}
	c := req.Config
	switch {
	case c.Deliver != "":
		return "only pull consumers are for readers; leave deliver_subject out"
	case c.Durable != "":
		return "only short-lived consumers are for readers; leave durable_name out and remember the sequence"
	case c.Ack != "none":
		return "only consumers without acknowledgements are for readers; set ack_policy to none"
	case c.Replicas > 1:
		return "only consumers with one replica are for readers"
	case c.Inactive > inactiveMax:
		return "inactive_threshold is over 5m"
	}
	return ""
}
