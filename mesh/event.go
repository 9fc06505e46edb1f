package mesh

import "evenkeel.dev/bus"

// DefinitionEventType is the CloudEvents type of a [DefinitionEvent]; its subject is
// evenkeel.mesh.definition.<gns>.<kind in lower case>.<name>.
const DefinitionEventType = "dev.evenkeel.mesh.definition.v1"

// SubjectDefinition is the prefix of this package's public events in LOG.
const SubjectDefinition = bus.SubjectEvent + "mesh.definition."

// Actions of a [DefinitionEvent].
const (
	ActionCreated = "created"
	ActionUpdated = "updated"
	ActionDeleted = "deleted"
)

// A DefinitionEvent is the data of a public event: one is emitted for each definition that a proposal changed. The text is not in
// it; who may read it asks the API.
type DefinitionEvent struct {
	Action          string `json:"action"` // created, updated or deleted
	Ref             Ref    `json:"ref"`
	GlobalNamespace string `json:"globalNamespace"`
	Revision        uint64 `json:"revision"` // of the catalogue, with this change
	Generation      int64  `json:"generation"`
	Digest          string `json:"digest"` // of the spec; of a deleted definition, the last
	Author          string `json:"author"`
	ManagedBy       string `json:"managedBy"`
}

func eventOf(action string, d *Definition, revision uint64, author string) DefinitionEvent {
	return DefinitionEvent{
		Action: action, Ref: d.Ref, GlobalNamespace: d.GlobalNamespace, Revision: revision,
		Generation: d.Generation, Digest: d.Digest, Author: author, ManagedBy: d.ManagedBy,
	}
}
