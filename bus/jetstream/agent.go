package jetstream

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"evenkeel.dev/bus"
)

// Subjects on which an agent speaks; the last token is that of its cluster.
const (
	agentPut  = "ek.agent.put."  // a batch of its outbox; answered by a putAnswer
	agentLast = "ek.agent.last." // asks how far the log has it; answered the same way
)

// An AgentKey lets the holder of a key speak for a cluster.
type AgentKey struct {
	Cluster string
	Key     string // public nkey of a user
}

// agentAccount is the account of a cluster's agent. Each has its own: what an agent asks is answered to any subject that it names, and that must
// be nobody else's (see accountInternal).
func agentAccount(cluster string) string { return "AGENT-" + bus.Token(cluster) }

// agentInbox is the prefix of the subjects on which an agent is answered.
func agentInbox(cluster string) string { return "_INBOX_" + bus.Token(cluster) }

// agentPermissions are all that an agent may do: hand in what its cluster has to tell, ask how far that has come, and hear the answers. It has no
// access to JetStream, so that no header, batch or consumer of its making reaches a stream.
func agentPermissions(cluster string) *server.Permissions {
	t := bus.Token(cluster)
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: []string{agentPut + t, agentLast + t}},
		Subscribe: &server.SubjectPermission{Allow: []string{agentInbox(cluster) + ".>"}},
	}
}

// SetAgents says which agents may connect from now on. One that no longer may is cut off at once; one that stays keeps its connection.
func (s *Server) SetAgents(keys []AgentKey) error {
	byKey := map[string]string{}
	for _, k := range keys {
		if !nkeys.IsValidPublicUserKey(k.Key) {
			return fmt.Errorf("agent of cluster %s: its key is no public key of a user", k.Cluster)
		}
		byKey[k.Key] = k.Cluster
		if err := s.agentAccount(k.Cluster); err != nil {
			return fmt.Errorf("agent of cluster %s: %w", k.Cluster, err)
		}
	}
	s.agents.Lock()
	s.agents.byKey = byKey
	var gone []uint64
	for id, c := range s.agents.connections {
		if byKey[c.Key] != c.Cluster {
			gone = append(gone, id)
			delete(s.agents.connections, id)
		}
	}
	s.agents.Unlock()
	slices.Sort(gone)
	for _, id := range gone {
		if s.nats.DisconnectClientByID(id) == nil {
			s.logger.Info("an agent's connection was ended: it may no longer speak for its cluster", "connection", id)
		}
	}
	return nil
}

// agentAccount makes the account of a cluster's agent, unless it is there. An account without agents stays until the process ends; nobody can use it.
func (s *Server) agentAccount(cluster string) error {
	a, fresh := s.nats.LookupOrRegisterAccount(agentAccount(cluster))
	if !fresh {
		return nil
	}
	internal, err := s.nats.LookupAccount(accountInternal)
	if err != nil {
		return err
	}
	for _, subject := range []string{agentPut + bus.Token(cluster), agentLast + bus.Token(cluster)} {
		if err := a.AddServiceImport(internal, subject, subject); err != nil {
			return err
		}
	}
	return nil
}

// agentConnectionsMax bounds the connections of agents that are remembered; those that have ended are forgotten at this bound.
const agentConnectionsMax = 4096

// checkAgent lets an agent in that proves to have its key.
func (s *Server) checkAgent(c server.ClientAuthentication) bool {
	o := c.GetOpts()
	sig, err := base64.RawURLEncoding.DecodeString(o.Sig)
	if err != nil {
		return false
	}
	pub, err := nkeys.FromPublicKey(o.Nkey)
	if err != nil || len(c.GetNonce()) == 0 || pub.Verify(c.GetNonce(), sig) != nil {
		return false
	}
	s.agents.Lock()
	cluster, ok := s.agents.byKey[o.Nkey]
	if ok {
		s.forgetEnded()
		s.agents.connections[c.GetID()] = AgentKey{cluster, o.Nkey}
	}
	s.agents.Unlock()
	if !ok {
		return false
	}
	account, err := s.nats.LookupAccount(agentAccount(cluster))
	if err != nil {
		return false
	}
	c.RegisterUser(&server.User{Username: "agent of " + cluster, Account: account, Permissions: agentPermissions(cluster)})
	return true
}

func (s *Server) forgetEnded() {
	if len(s.agents.connections) < agentConnectionsMax {
		return
	}
	for id := range s.agents.connections {
		if s.nats.GetClient(id) == nil {
			delete(s.agents.connections, id)
		}
	}
}

// AgentConnections counts the agents that are connected to this server.
func (s *Server) AgentConnections() (n int) {
	s.agents.Lock()
	defer s.agents.Unlock()
	for id := range s.agents.connections {
		if s.nats.GetClient(id) == nil {
			delete(s.agents.connections, id)
		} else {
			n++
		}
	}
	return n
}

// ValidAgentKey reports whether a text is a public key that an agent may have.
func ValidAgentKey(key string) bool { return nkeys.IsValidPublicUserKey(key) }

// EnsureAgentKey returns the public key that belongs to the seed in a file, making both (mode 0600) if the file is not there yet. It refuses a file
// that others than its owner may read.
func EnsureAgentKey(path string) (public string, err error) {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		if err := writeSeed(path); err != nil {
			return "", fmt.Errorf("make the agent's key: %w", err)
		}
	} else if err != nil {
		return "", fmt.Errorf("the agent's key: %w", err)
	} else if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("the agent's key %s can be read by others (mode %04o); run: chmod 600 %s", path, info.Mode().Perm(), path)
	}
	seed, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the agent's key: %w", err)
	}
	defer clear(seed)
	pair, err := nkeys.ParseDecoratedUserNKey(seed)
	if err != nil {
		return "", fmt.Errorf("the agent's key %s: %w", path, err)
	}
	defer pair.Wipe()
	return pair.PublicKey()
}

// writeSeed makes a key and keeps its seed. The file appears whole or not at all.
func writeSeed(path string) error {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return err
	}
	defer pair.Wipe()
	seed, err := pair.Seed()
	if err != nil {
		return err
	}
	defer clear(seed)
	f, err := os.CreateTemp(filepath.Dir(path), ".agent-key-*") // its mode is 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // after the rename it is not there
	_, err = f.Write(append(seed, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
