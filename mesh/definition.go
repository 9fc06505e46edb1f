// Package mesh is the vocabulary of Evenkeel: the kinds of definitions that people write and the catalogue that keeps them.
//
// A change of definitions is a [Proposal] in the log. The [Catalogue] stage accepts or refuses it, in the log's order, and answers
// with a [Change]. Parsing and compiling happen before the proposal, in the shell that makes it; no stage reads YAML or PromQL.
package mesh

import (
	"encoding/json"
	"fmt"

	"evenkeel.dev/bus"
)

// A Ref names a definition.
type Ref struct {
	APIVersion string `json:"apiVersion"` // for example "openslo/v1"
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace"` // "default" in files without a cluster
	Name       string `json:"name"`
}

// KindGlobalNamespace is the kind of definition that others stand in: each by its GlobalNamespace, which is the name of one of these. None
// needs to exist; while one does that others stand in, it is not deleted without them.
var KindGlobalNamespace = Kind{APIVersion: "evenkeel.dev/v1beta1", Kind: "GlobalNamespace"}

// Kinds of definitions that stages of the mesh read.
var (
	KindResourceGroup   = Kind{APIVersion: KindGlobalNamespace.APIVersion, Kind: "ResourceGroup"}
	KindCluster         = Kind{APIVersion: KindGlobalNamespace.APIVersion, Kind: "Cluster"}
	KindExternalService = Kind{APIVersion: KindGlobalNamespace.APIVersion, Kind: "ExternalService"}
)

// How the managing sources begin that are read again and again, so that what vanishes from them is deleted: folders and clusters.
const (
	OwnerDirectory = "dir:"
	OwnerCluster   = "cluster:"
)

// A Definition is one accepted object as the catalogue keeps it.
type Definition struct {
	Ref
	GlobalNamespace string            `json:"globalNamespace"`
	Labels          map[string]string `json:"labels,omitempty"`
	Revision        uint64            `json:"revision"`   // catalogue revision of its last change
	Generation      int64             `json:"generation"` // rises with each change of Spec or Compiled
	Digest          string            `json:"digest"`     // hexadecimal SHA-256 of Spec
	ManagedBy       string            `json:"managedBy"`  // "dir:<name>", "cluster:<name>" or "api"; one owner per object
	Author          string            `json:"author"`     // identity of who proposed the last change
	Source          string            `json:"source"`     // the text as it was written, one YAML document
	Spec            json.RawMessage   `json:"spec"`       // the whole document in canonical JSON
	// References are the definitions that this one cannot do without; the catalogue refuses to leave one of them missing.
	References []Ref `json:"references,omitempty"`
	// Claims are names that at most one definition of the catalogue may hold, for example what a stage knows an objective by:
	// "slo/default/checkout/availability".
	Claims []string `json:"claims,omitempty"`
	// Compiled is what stages read, made by the shell that proposed: for an SLO a list of slo.Objective; for a notification target
	// a notify.Target. Empty for kinds that no stage reads.
	Compiled json.RawMessage `json:"compiled,omitempty"`
}

// SubjectProposal carries a [Proposal]; SubjectChange carries the [Change] that answers it, to every partition of every stage.
const (
	SubjectProposal = bus.SubjectProposal + "definitions"
	SubjectChange   = bus.SubjectDraft + "mesh.change"
	// SubjectRestate is what a stage that begins on a log with a history drafts: the definitions that were made before are said again.
	SubjectRestate = bus.SubjectDraft + "mesh.restate"
)

// A Proposal is a wish to change definitions, all or nothing.
type Proposal struct {
	ID            string       `json:"id"` // chosen by the proposer, random; it finds the answer by it
	Author        string       `json:"author"`
	ManagedBy     string       `json:"managedBy"`
	TakeOwnership bool         `json:"takeOwnership,omitempty"`
	Confirmed     bool         `json:"confirmed,omitempty"` // a person said yes to deleting more than half of what ManagedBy owns
	Set           []Definition `json:"set,omitempty"`       // Revision and Generation are ignored; Digest is checked
	Delete        []Ref        `json:"delete,omitempty"`
	// Expect holds, for refs that the proposer has read, the revision it has read (0: it shall not exist).
	Expect []Expectation `json:"expect,omitempty"`
}

// An Expectation is the revision that a definition must still have.
type Expectation struct {
	Ref      Ref    `json:"ref"`
	Revision uint64 `json:"revision"`
}

// A Change is the catalogue's answer. When Accepted, Set and Deleted are what stages apply; objects that did not change are not in Set.
type Change struct {
	Proposal string       `json:"proposal"`
	Accepted bool         `json:"accepted"`
	Reason   string       `json:"reason"`            // one of the Reason constants
	Message  string       `json:"message,omitempty"` // what, where, what would be right
	Revision uint64       `json:"revision"`          // of the catalogue, after
	Set      []Definition `json:"set,omitempty"`
	Deleted  []Ref        `json:"deleted,omitempty"`
}

// Reasons of a [Change].
const (
	ReasonAccepted         = "Accepted"
	ReasonRestated         = "Restated"         // no answer: messages were lost, and this is what stands; without Source and Spec
	ReasonUnchanged        = "Unchanged"        // accepted; everything stands as it was wished
	ReasonConflict         = "Conflict"         // a definition has another revision than was expected, or a claim is taken: read again
	ReasonOwnedByOther     = "OwnedByOther"     // another source manages the definition
	ReasonTooManyDeletions = "TooManyDeletions" // more than half of what a directory or a cluster owns, without a yes
	ReasonTooMany          = "TooMany"          // over a bound of the catalogue or of one proposal
	ReasonReferenced       = "Referenced"       // what stays refers to what would go
	ReasonInhabited        = "Inhabited"        // what stays stands in a global namespace that would go
	ReasonMissingReference = "MissingReference" // what would come refers to what is not there
	ReasonInvalid          = "Invalid"          // it cannot be decoded, or contradicts itself
)

// Compiled decodes what a definition compiles to.
func Compiled[T any](d *Definition) (T, error) {
	var v T
	if err := json.Unmarshal(d.Compiled, &v); err != nil {
		return v, fmt.Errorf("%s: %w", d.Ref, err)
	}
	return v, nil
}
