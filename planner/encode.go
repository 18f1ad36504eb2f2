package planner

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"github.com/vmihailenco/msgpack/v5"

	"quorate/internal/job"
)

// Encode returns the plan's canonical bytes: msgpack arrays in the order of the
// structs' fields, integers as short as can be, no maps, no nil.
func (p *Plan) Encode() []byte {
	var buf bytes.Buffer
	e := &planEncoder{msgpack.NewEncoder(&buf)}
	e.array(7)
	e.uint(uint64(p.Format))
	e.text(p.PlannerVersion)
	encodeList(e, p.Hosts, e.text)
	encodeList(e, p.HostSets, func(set []uint32) {
		encodeList(e, set, func(h uint32) { e.uint(uint64(h)) })
	})
	encodeList(e, p.Tasks, e.task)
	encodeList(e, p.Vars, e.option)
	encodeList(e, p.Inputs, func(in Input) {
		e.array(4)
		e.text(string(in.Role))
		e.text(in.Name)
		e.text(in.Digest)
		e.int(in.Size)
	})
	return buf.Bytes()
}

// ID is the SHA-256 of the plan's bytes, lower-case hex.
func (p *Plan) ID() string {
	sum := sha256.Sum256(p.Encode())
	return hex.EncodeToString(sum[:])
}

// A planEncoder writes into memory, which does not fail.
type planEncoder struct{ *msgpack.Encoder }

func (e *planEncoder) array(n int)   { _ = e.EncodeArrayLen(n) }
func (e *planEncoder) text(s string) { _ = e.EncodeString(s) }
func (e *planEncoder) uint(v uint64) { _ = e.EncodeUint(v) }
func (e *planEncoder) int(v int64)   { _ = e.EncodeInt(v) }
func (e *planEncoder) bool(v bool)   { _ = e.EncodeBool(v) }

func encodeList[T any](e *planEncoder, list []T, one func(T)) {
	e.array(len(list))
	for i := range list {
		one(list[i])
	}
}

func (e *planEncoder) task(t Task) {
	marks := t.marks()
	if marks == 0 { // a whole plan is what it was before there were marks
		e.array(taskFields)
	} else {
		e.array(taskFields + 1)
	}
	e.text(t.ID)
	e.text(t.Service)
	e.text(t.Name)
	e.text(t.Action)
	e.text(string(t.Driver))
	e.uint(uint64(t.HostSet))
	encodeList(e, t.Requires, func(d Dep) {
		e.array(2)
		e.uint(uint64(d.Task))
		e.uint(uint64(d.Scope))
	})
	encodeList(e, t.Provides, e.text)
	encodeList(e, t.Symbols, e.text)
	encodeList(e, t.Jobs, e.job)
	encodeList(e, t.Messages, e.text)
	e.bool(t.Idempotent)
	e.bool(t.Always)
	e.bool(t.KeepGoing)
	e.pos(t.Source)
	if marks != 0 {
		e.uint(uint64(marks))
	}
}

// taskFields is how many fields the encoding of a task has where nothing of it is left out.
const taskFields = 15

// Unmarked returns the plan as versions from before made it that did not mark what is
// left out of tasks.
func (p *Plan) Unmarked() *Plan {
	plain := *p
	plain.Tasks = slices.Clone(p.Tasks)
	for i := range plain.Tasks {
		plain.Tasks[i].Narrowed, plain.Tasks[i].Partial = false, false
	}
	return &plain
}

// What the last field of a task tells that something of it is left out of.
const (
	markNarrowed = 1 << iota
	markPartial
)

func (t *Task) marks() (marks uint32) {
	if t.Narrowed {
		marks |= markNarrowed
	}
	if t.Partial {
		marks |= markPartial
	}
	return marks
}

func (e *planEncoder) job(j Job) {
	e.array(3)
	e.spec(&j.Spec)
	e.uint(uint64(j.HostSet))
	e.pos(j.Source)
}

func (e *planEncoder) spec(j *job.Job) {
	e.array(10)
	e.uint(uint64(j.Index))
	e.text(j.Verb)
	e.text(j.Name)
	e.text(j.Text)
	encodeList(e, j.Options, e.option)
	e.uint(uint64(j.TimeoutSeconds))
	e.bool(j.SkipCache)
	encodeList(e, j.Files, func(f job.File) {
		e.array(4)
		e.text(f.Name)
		e.text(f.Digest)
		e.int(f.Size)
		e.uint(uint64(f.Mode))
	})
	encodeList(e, j.SuccessExits, func(v int32) { e.int(int64(v)) })
	e.text(j.Fingerprint)
}

func (e *planEncoder) option(o job.Option) {
	e.array(2)
	e.text(o.Name)
	e.text(o.Value)
}

func (e *planEncoder) pos(p Pos) {
	e.array(3)
	e.text(p.File)
	e.uint(uint64(p.Line))
	e.uint(uint64(p.Column))
}
