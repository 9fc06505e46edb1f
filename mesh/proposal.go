package mesh

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// A refusal is why a proposal is not accepted.
type refusal struct{ reason, message string }

func refuse(reason, format string, args ...any) *refusal {
	return &refusal{reason, fmt.Sprintf(format, args...)}
}

// idMax bounds what is remembered of one proposal; a UUID has 36 bytes.
const idMax = 128

// decodeProposal reads a proposal and checks what needs no catalogue. The ID is set where one could be read, so that whoever
// proposed it finds the answer.
func decodeProposal(data []byte, b Bounds) (Proposal, *refusal) {
	var p Proposal
	if len(data) > b.ProposalBytes {
		return p, refuse(ReasonTooMany, "the proposal has %d bytes; at most %d are taken at once: propose in parts", len(data), b.ProposalBytes)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		var id struct{ ID string }
		if json.Unmarshal(data, &id) != nil || len(id.ID) > idMax {
			id.ID = ""
		}
		return Proposal{ID: id.ID}, refuse(ReasonInvalid, "the proposal cannot be read: %v", err)
	}
	for i := range p.Set {
		d := &p.Set[i]
		d.Spec, d.Compiled = canonical(d.Spec), canonical(d.Compiled)
	}
	if no := checkProposal(&p, b); no != nil {
		if len(p.ID) > idMax {
			p.ID = ""
		}
		return p, no
	}
	return p, nil
}

// canonical brings JSON into the form that it keeps through a snapshot; null is nothing.
func canonical(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	b, err := json.Marshal(raw)
	if err != nil {
		return nil // it was decoded a moment ago, so it is valid
	}
	return b
}

func checkProposal(p *Proposal, b Bounds) *refusal {
	switch {
	case p.ID == "" || len(p.ID) > idMax:
		return refuse(ReasonInvalid, "the proposal has no id, or one of over %d bytes", idMax)
	case p.ManagedBy == "":
		return refuse(ReasonInvalid, "the proposal names no managing source")
	case len(p.Set)+len(p.Delete) > b.ProposalDefinitions:
		return refuse(ReasonTooMany, "the proposal sets and deletes %d definitions; at most %d are taken at once: propose in parts", len(p.Set)+len(p.Delete), b.ProposalDefinitions)
	}
	seen := map[Ref]bool{}
	for i := range p.Set {
		d := &p.Set[i]
		if no := checkDefinition(d, b); no != nil {
			return no
		}
		if seen[d.Ref] {
			return refuse(ReasonInvalid, "%s stands in the proposal twice", d.Ref)
		}
		seen[d.Ref] = true
	}
	for _, r := range p.Delete {
		if seen[r] {
			return refuse(ReasonInvalid, "%s stands in the proposal twice", r)
		}
		seen[r] = true
	}
	return nil
}

func checkDefinition(d *Definition, b Bounds) *refusal {
	if d.APIVersion == "" || d.Kind == "" || d.Namespace == "" || d.Name == "" || d.GlobalNamespace == "" {
		return refuse(ReasonInvalid, "%s: apiVersion, kind, namespace, name and global namespace must all be set", d.Ref)
	}
	if len(d.Spec) == 0 || Digest(d.Spec) != d.Digest {
		return refuse(ReasonInvalid, "%s: the digest is not that of the spec", d.Ref)
	}
	if n := sizeOf(d); n > b.DefinitionBytes {
		return refuse(ReasonTooMany, "%s has %d bytes; at most %d are taken", d.Ref, n, b.DefinitionBytes)
	}
	return nil
}

// Digest returns the hexadecimal SHA-256 of a definition's spec.
func Digest(spec []byte) string {
	sum := sha256.Sum256(spec)
	return hex.EncodeToString(sum[:])
}
