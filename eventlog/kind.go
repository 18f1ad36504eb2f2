package eventlog

import (
	"reflect"
	"strconv"
	"strings"
)

// catalogued is what the codec knows of a kind.
type catalogued struct {
	name  string
	typ   reflect.Type
	shape *shape
}

// catalogue is indexed by kind and never changes; a number without an event has
// no type.
var catalogue = buildCatalogue(
	&ClusterCreated{}, &LeaderEstablished{}, &TokenCreated{}, &AgentEnrolled{},
	&AgentApproved{}, &AgentRevoked{}, &AgentConnected{}, &AgentDisconnected{},
	&AgentQuarantined{}, &PlanRecorded{}, &RunCreated{}, &RunCancelled{},
	&StepScheduled{}, &JobEnded{}, &AttemptEnded{}, &TaskRecorded{},
	&TaskSkipped{}, &StepResolved{}, &RunEnded{}, &OperatorIssued{},
	&OrchestratorJoined{}, &OrchestratorMoved{}, &OrchestratorRemoved{},
	&StateHashed{}, &ClusterRecovered{}, &AttemptBegan{}, &ValuesPublished{},
	&CheckpointSigned{}, &DampingSet{}, &AgentCalmed{}, &GatewayLost{}, &AgentsSent{},
	&AgentDrained{}, &AgentUndrained{},
	&AccessDenied{}, &OperatorRevoked{},
)

func buildCatalogue(events ...Event) []catalogued {
	var all []catalogued
	for _, e := range events {
		typ := reflect.TypeOf(e).Elem()
		k := int(e.Kind())
		for len(all) <= k {
			all = append(all, catalogued{})
		}
		if all[k].typ != nil {
			panic("eventlog: two events of kind " + strconv.Itoa(k))
		}
		all[k] = catalogued{name: snake(typ.Name()), typ: typ, shape: shapeOf(typ)}
	}
	return all
}

func lookup(k Kind) (*catalogued, bool) {
	if int(k) >= len(catalogue) || catalogue[k].typ == nil {
		return nil, false
	}
	return &catalogue[k], true
}

// Kinds returns every kind of the catalogue, ascending.
func Kinds() []Kind {
	var kinds []Kind
	for k := range catalogue {
		if catalogue[k].typ != nil {
			kinds = append(kinds, Kind(k))
		}
	}
	return kinds
}

// String returns the name of the kind, such as step_scheduled, or kind_99 for
// one that this version does not know.
func (k Kind) String() string {
	if c, ok := lookup(k); ok {
		return c.name
	}
	return "kind_" + strconv.Itoa(int(k))
}

// MarshalJSON writes the name of the kind.
func (k Kind) MarshalJSON() ([]byte, error) {
	return strconv.AppendQuote(nil, k.String()), nil
}

// ParseKind returns the kind of a name, in any of the spellings step_scheduled,
// step-scheduled and StepScheduled.
func ParseKind(name string) (Kind, bool) {
	fold := func(s string) string {
		return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s))
	}
	want := fold(name)
	for k := range catalogue {
		if catalogue[k].typ != nil && fold(catalogue[k].name) == want {
			return Kind(k), true
		}
	}
	return 0, false
}

// snake turns StepScheduled into step_scheduled.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if r >= 'A' && r <= 'Z' {
			if i > 0 {
				b.WriteByte('_')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}
