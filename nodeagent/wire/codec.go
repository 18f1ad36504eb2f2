package wire

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/vmihailenco/msgpack/v5"

	"quorate/internal/job"
)

// ErrMalformed is wrapped by every error about bytes that are not the canonical
// encoding of what they should be.
var ErrMalformed = errors.New("malformed message")

// ErrTooLarge is wrapped by errors about frames beyond their limit.
var ErrTooLarge = errors.New("frame too large")

var encoders = sync.Pool{New: func() any {
	e := msgpack.NewEncoder(nil)
	return e
}}

// appendValue appends the canonical encoding of v, a pointer to a struct that is
// encoded as an array.
func appendValue(dst []byte, v any) ([]byte, error) {
	w := bytes.NewBuffer(dst)
	e := encoders.Get().(*msgpack.Encoder)
	defer encoders.Put(e)
	e.Reset(w)
	e.UseCompactInts(true)
	if err := e.Encode(v); err != nil {
		return dst, fmt.Errorf("encoding %T: %w", v, err)
	}
	return w.Bytes(), nil
}

// Marshal returns the canonical encoding of v, a pointer to a struct whose
// fields are integers, booleans, strings, bytes, lists or such structs.
func Marshal(v any) ([]byte, error) { return appendValue(nil, v) }

// Unmarshal decodes into v, a pointer to a zero struct, what [Marshal] made of
// one. Anything else is refused with [ErrMalformed], before memory is allocated
// for it: a list's length is believed only as far as the bytes can hold it.
func Unmarshal(data []byte, v any) error {
	c := checker{data: data, budget: len(data)*expansionPerByte + growBytes}
	if err := c.value(reflect.TypeOf(v).Elem()); err != nil {
		return fmt.Errorf("%w: %T: %w", ErrMalformed, v, err)
	}
	if c.pos != len(data) {
		return fmt.Errorf("%w: %T: %d bytes left over", ErrMalformed, v, len(data)-c.pos)
	}
	d := msgpack.GetDecoder()
	defer msgpack.PutDecoder(d)
	d.Reset(bytes.NewReader(data))
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %T: %w", ErrMalformed, v, err)
	}
	return nil
}

// silentStep is a Step that publishes nothing and is no check, as steps were before
// there was anything to publish. Journals hold steps of it, and one spelling of each
// keeps the bytes comparable.
type silentStep struct {
	_msgpack struct{} `msgpack:",as_array"`

	Run         uint64
	Task, Host  string
	Jobs        []job.Job
	Vars        []job.Option
	KeepGoing   bool
	IgnoreCache bool
}

// publishingStep is a Step that is no check, as steps were before there were any.
type publishingStep struct {
	_msgpack struct{} `msgpack:",as_array"`

	Run         uint64
	Task, Host  string
	Jobs        []job.Job
	Vars        []job.Option
	KeepGoing   bool
	IgnoreCache bool
	Publish     []string
}

// checkingStep is a Step that is judged by no record, of a run that does not fail fast,
// as steps were before there were any and before that was told.
type checkingStep struct {
	_msgpack struct{} `msgpack:",as_array"`

	Run         uint64
	Task, Host  string
	Jobs        []job.Job
	Vars        []job.Option
	KeepGoing   bool
	IgnoreCache bool
	Publish     []string
	Check       bool
}

// EncodeStep returns what goes into Dispatch.Spec.
func EncodeStep(s *Step) ([]byte, error) {
	switch {
	case s.Service || len(s.Requires) > 0 || s.FailFast:
		return Marshal(s)
	case s.Check:
		return Marshal(&checkingStep{Run: s.Run, Task: s.Task, Host: s.Host, Jobs: s.Jobs, Vars: s.Vars,
			KeepGoing: s.KeepGoing, IgnoreCache: s.IgnoreCache, Publish: s.Publish, Check: s.Check})
	case len(s.Publish) > 0:
		return Marshal(&publishingStep{Run: s.Run, Task: s.Task, Host: s.Host, Jobs: s.Jobs, Vars: s.Vars,
			KeepGoing: s.KeepGoing, IgnoreCache: s.IgnoreCache, Publish: s.Publish})
	}
	return Marshal(&silentStep{Run: s.Run, Task: s.Task, Host: s.Host, Jobs: s.Jobs, Vars: s.Vars,
		KeepGoing: s.KeepGoing, IgnoreCache: s.IgnoreCache})
}

// The first bytes of steps of seven, eight and nine fields.
const (
	silentStepHeader     = 0x97
	publishingStepHeader = 0x98
	checkingStepHeader   = 0x99
)

// DecodeStep reads a Dispatch.Spec. The jobs' indexes have to ascend.
func DecodeStep(spec []byte) (*Step, error) {
	s, err := decodeStepForm(spec)
	if err != nil {
		return nil, err
	}
	for i := 1; i < len(s.Jobs); i++ {
		if s.Jobs[i].Index <= s.Jobs[i-1].Index {
			return nil, fmt.Errorf("%w: step: job %d after job %d", ErrMalformed, s.Jobs[i].Index, s.Jobs[i-1].Index)
		}
	}
	return s, nil
}

// decodeStepForm reads a step in the shortest form that holds it; longer ones are
// refused.
func decodeStepForm(spec []byte) (*Step, error) {
	var header byte
	if len(spec) > 0 {
		header = spec[0]
	}
	s := new(Step)
	short := true // whether a shorter form would hold it
	switch header {
	case silentStepHeader:
		old := new(silentStep)
		if err := Unmarshal(spec, old); err != nil {
			return nil, err
		}
		s = &Step{Run: old.Run, Task: old.Task, Host: old.Host, Jobs: old.Jobs, Vars: old.Vars,
			KeepGoing: old.KeepGoing, IgnoreCache: old.IgnoreCache}
		short = false
	case publishingStepHeader:
		old := new(publishingStep)
		if err := Unmarshal(spec, old); err != nil {
			return nil, err
		}
		s = &Step{Run: old.Run, Task: old.Task, Host: old.Host, Jobs: old.Jobs, Vars: old.Vars,
			KeepGoing: old.KeepGoing, IgnoreCache: old.IgnoreCache, Publish: old.Publish}
		short = len(s.Publish) == 0
	case checkingStepHeader:
		old := new(checkingStep)
		if err := Unmarshal(spec, old); err != nil {
			return nil, err
		}
		s = &Step{Run: old.Run, Task: old.Task, Host: old.Host, Jobs: old.Jobs, Vars: old.Vars,
			KeepGoing: old.KeepGoing, IgnoreCache: old.IgnoreCache, Publish: old.Publish, Check: old.Check}
		short = !s.Check
	default:
		if err := Unmarshal(spec, s); err != nil {
			return nil, err
		}
		short = !s.Service && len(s.Requires) == 0 && !s.FailFast
	}
	if short {
		return nil, fmt.Errorf("%w: step: it fits into a shorter form", ErrMalformed)
	}
	return s, nil
}

// SpecHash identifies a Dispatch.Spec.
func SpecHash(spec []byte) [sha256.Size]byte { return sha256.Sum256(spec) }
