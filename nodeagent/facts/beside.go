package facts

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vmihailenco/msgpack/v5"
	bolt "go.etcd.io/bbolt"
)

// bucketBeside holds what is kept beside the records of steps, whose form is older.
var bucketBeside = []byte("beside")

// tasksNamed is how many tasks a reason names before it counts the rest.
const tasksNamed = 2

// notedMax is of how many attempts it is kept how many of their notes a record has.
// More of one task are not under way at a time, and forgetting one costs a job that runs
// again.
const notedMax = 32

// beside is what a record has beside it.
type beside struct {
	// Overtaken is the attempt that has last found other inputs, and Why says which: one
	// that goes on in another agent finds no difference any more.
	Overtaken uint64 `msgpack:"overtaken"`
	Why       string `msgpack:"why"`
	// Noted are the attempts that have begun, or whose notes are in the record, in the order
	// in which they did so last.
	Noted []noted `msgpack:"noted"`
}

// noted is how many of an attempt's notes are in a record. Applied once more behind
// those of another attempt they would take back what that has made due.
type noted struct {
	_msgpack struct{} `msgpack:",as_array"`

	Attempt uint64
	Notes   int
	// Unknown is true where the record also has that nobody can tell what else the
	// attempt, which has ended, did.
	Unknown bool
	// Beside is true where another attempt has come since the note before the last one.
	Beside bool
}

// noted returns what the record has of the attempt.
func (b *beside) noted(attempt uint64) noted {
	for _, a := range b.Noted {
		if a.Attempt == attempt {
			return a
		}
	}
	return noted{Attempt: attempt}
}

// setNoted sets that, and has the attempt come last.
func (b *beside) setNoted(n noted) {
	n.Beside = len(b.behind(n.Attempt)) > 0
	list := append(b.without(n.Attempt), n)
	b.Noted = list[max(0, len(list)-notedMax):]
}

// takeBack sets that where notes of the attempt never came to be on record: others that
// have come since the one before them come behind it.
func (b *beside) takeBack(n noted) {
	had := b.noted(n.Attempt)
	if had.Beside || n.Notes+1 < had.Notes {
		b.setFirst(n)
		return
	}
	b.Noted = slices.Clone(b.Noted)
	b.Noted[slices.IndexFunc(b.Noted, n.same)] = n
}

// setFirst sets that, and has all others come behind the attempt.
func (b *beside) setFirst(n noted) {
	others := b.without(n.Attempt)
	b.Noted = append([]noted{n}, others[max(0, len(others)+1-notedMax):]...)
}

// has reports whether there is anything of the attempt.
func (b *beside) has(attempt uint64) bool {
	return slices.ContainsFunc(b.Noted, noted{Attempt: attempt}.same)
}

// behind returns those that have come since the attempt did; all where that is not known.
func (b *beside) behind(attempt uint64) []noted {
	return b.Noted[1+slices.IndexFunc(b.Noted, noted{Attempt: attempt}.same):]
}

// same reports whether both are of one attempt.
func (n noted) same(o noted) bool { return n.Attempt == o.Attempt }

func (b *beside) without(attempt uint64) []noted {
	return slices.DeleteFunc(slices.Clone(b.Noted), func(a noted) bool { return a.Attempt == attempt })
}

// Why says for which required tasks jobs of the attempt have run, so far, also before an
// earlier agent ended; it is empty where they have not, or that is not known.
func (c *Course) Why() string {
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	if !c.ran || c.state.beside.Overtaken != c.attempt {
		return ""
	}
	return c.state.beside.Why
}

// apply takes a note into account as [record.apply] does, and says why jobs are due. What
// it says is known from before where a note comes again.
func (st *stepState) apply(attempt uint64, n *note) (changed bool) {
	if n.Judged && n.Overtaken {
		if tasks := st.since(n.Inputs); len(tasks) > 0 {
			st.beside.Overtaken, st.beside.Why = attempt, whySince(tasks)
		}
	}
	return st.record.apply(attempt, n)
}

// since returns the tasks whose outputs are others than the step is based on.
func (r *record) since(now []Input) (tasks []string) {
	for _, in := range now {
		var before digest
		if i := inputOf(r.Inputs, in.Task); i >= 0 {
			before = r.Inputs[i].Output
		}
		if in.Output != before {
			tasks = append(tasks, in.Task)
		}
	}
	return tasks
}

// whySince names the tasks that came to something else.
func whySince(tasks []string) string {
	slices.Sort(tasks)
	text := "since " + strings.Join(tasks[:min(len(tasks), tasksNamed)], " and ")
	if more := len(tasks) - tasksNamed; more > 0 {
		text = fmt.Sprintf("%s and %d more", text, more)
	}
	return text + " changed"
}

// readBeside reads what is beside the record of a task's step, if there is anything.
func readBeside(tx *bolt.Tx, task string, b *beside) error {
	data := tx.Bucket(bucketBeside).Get([]byte(task))
	if data == nil {
		return nil
	}
	return msgpack.Unmarshal(data, b)
}
