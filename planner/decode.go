package planner

import (
	"bytes"
	"errors"
	"fmt"
	"math"

	"github.com/vmihailenco/msgpack/v5"

	"quorate/internal/job"
)

// PlanBytesMax bounds the encoded size of a plan in bytes.
const PlanBytesMax = 64 << 20

// ErrPlan is what Decode's errors wrap: the bytes are not a plan.
var ErrPlan = errors.New("not a plan")

// Decode reads a plan's bytes and checks everything that users of a plan rely
// on: positions are in bounds, lists are in order, names are unique, and
// encoding the plan again gives the same bytes. Its errors wrap ErrPlan.
func Decode(data []byte) (*Plan, error) {
	if len(data) > PlanBytesMax {
		return nil, fmt.Errorf("%w: %d bytes are more than %d", ErrPlan, len(data), PlanBytesMax)
	}
	r := bytes.NewReader(data)
	d := &planDecoder{dec: msgpack.NewDecoder(r), left: r.Len}
	p := d.plan()
	if d.err == nil && r.Len() > 0 {
		d.failf("%d bytes follow it", r.Len())
	}
	if d.err == nil {
		d.err = p.validate()
	}
	if d.err == nil && !bytes.Equal(p.Encode(), data) {
		d.failf("the encoding is not canonical")
	}
	if d.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPlan, d.err)
	}
	return p, nil
}

// A planDecoder keeps the first error; what it returns after that is zero.
type planDecoder struct {
	dec  *msgpack.Decoder
	left func() int // bytes not yet read
	err  error
}

func (d *planDecoder) failf(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
}

// array reads the head of an array that must have n elements.
func (d *planDecoder) array(n int, what string) {
	if got := d.length(); d.err == nil && got != n {
		d.failf("%s of %d fields, want %d", what, got, n)
	}
}

func (d *planDecoder) length() int {
	if d.err != nil {
		return 0
	}
	n, err := d.dec.DecodeArrayLen()
	if err != nil {
		d.err = err
	}
	return max(n, 0) // nil has length -1; it fails later for not being canonical
}

func (d *planDecoder) text() string {
	if d.err != nil {
		return ""
	}
	s, err := d.dec.DecodeString()
	d.err = err
	return s
}

func (d *planDecoder) uint32() uint32 {
	if d.err != nil {
		return 0
	}
	v, err := d.dec.DecodeUint64()
	if d.err = err; v > math.MaxUint32 {
		d.failf("%d does not fit", v)
	}
	return uint32(v)
}

func (d *planDecoder) int() int64 {
	if d.err != nil {
		return 0
	}
	v, err := d.dec.DecodeInt64()
	d.err = err
	return v
}

func (d *planDecoder) bool() bool {
	if d.err != nil {
		return false
	}
	v, err := d.dec.DecodeBool()
	d.err = err
	return v
}

// decodeList reads a list whose elements take at least the given number of bytes
// each, so that a short input cannot ask for much memory.
func decodeList[T any](d *planDecoder, bytesLeast int, one func() T) []T {
	n := d.length()
	if d.err != nil || n == 0 {
		return nil
	}
	if n > d.left()/bytesLeast {
		d.failf("a list of %d elements does not fit into what is left", n)
		return nil
	}
	list := make([]T, 0, n)
	for range n {
		list = append(list, one())
		if d.err != nil {
			return nil
		}
	}
	return list
}

func (d *planDecoder) plan() *Plan {
	p := new(Plan)
	d.array(7, "a plan")
	if p.Format = d.uint32(); d.err == nil && p.Format != FormatVersion {
		d.failf("its format is %d, this version reads %d", p.Format, FormatVersion)
	}
	p.PlannerVersion = d.text()
	p.Hosts = decodeList(d, 1, d.text)
	p.HostSets = decodeList(d, 1, func() []uint32 { return decodeList(d, 1, d.uint32) })
	p.Tasks = decodeList(d, 19, d.task)
	p.Vars = decodeList(d, 3, d.option)
	p.Inputs = decodeList(d, 5, func() (in Input) {
		d.array(4, "an input")
		in.Role, in.Name, in.Digest, in.Size = Role(d.text()), d.text(), d.text(), d.int()
		return in
	})
	return p
}

func (d *planDecoder) task() (t Task) {
	fields := d.length()
	if d.err == nil && fields != taskFields && fields != taskFields+1 {
		d.failf("a task of %d fields, want %d", fields, taskFields)
	}
	t.ID, t.Service, t.Name, t.Action = d.text(), d.text(), d.text(), d.text()
	t.Driver = Driver(d.text())
	t.HostSet = d.uint32()
	t.Requires = decodeList(d, 3, func() (dep Dep) {
		d.array(2, "a dependency")
		dep.Task = d.uint32()
		scope := d.uint32()
		if scope > uint32(ScopeAfterSameHost) {
			d.failf("there is no scope %d", scope)
		}
		dep.Scope = Scope(scope)
		return dep
	})
	t.Provides = decodeList(d, 1, d.text)
	t.Symbols = decodeList(d, 1, d.text)
	t.Jobs = decodeList(d, 17, d.job)
	t.Messages = decodeList(d, 1, d.text)
	t.Idempotent, t.Always, t.KeepGoing = d.bool(), d.bool(), d.bool()
	t.Source = d.pos()
	if fields == taskFields+1 {
		marks := d.uint32()
		if marks > markNarrowed|markPartial {
			d.failf("marks %d of a task are not known", marks)
		}
		t.Narrowed, t.Partial = marks&markNarrowed != 0, marks&markPartial != 0
	}
	return t
}

func (d *planDecoder) job() (j Job) {
	d.array(3, "a job")
	d.spec(&j.Spec)
	j.HostSet = d.uint32()
	j.Source = d.pos()
	return j
}

func (d *planDecoder) spec(j *job.Job) {
	d.array(10, "a job")
	j.Index = d.uint32()
	j.Verb, j.Name, j.Text = d.text(), d.text(), d.text()
	j.Options = decodeList(d, 3, d.option)
	j.TimeoutSeconds = d.uint32()
	j.SkipCache = d.bool()
	j.Files = decodeList(d, 5, func() (f job.File) {
		d.array(4, "a file")
		f.Name, f.Digest, f.Size, f.Mode = d.text(), d.text(), d.int(), d.uint32()
		return f
	})
	j.SuccessExits = decodeList(d, 1, func() int32 {
		v := d.int()
		if v < math.MinInt32 || v > math.MaxInt32 {
			d.failf("%d is no exit code", v)
		}
		return int32(v)
	})
	j.Fingerprint = d.text()
}

func (d *planDecoder) option() (o job.Option) {
	d.array(2, "an option")
	o.Name, o.Value = d.text(), d.text()
	return o
}

func (d *planDecoder) pos() (p Pos) {
	d.array(3, "a position")
	p.File, p.Line, p.Column = d.text(), d.uint32(), d.uint32()
	return p
}
