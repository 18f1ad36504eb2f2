package facts

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vmihailenco/msgpack/v5"
	bolt "go.etcd.io/bbolt"
)

var bucketReasons = []byte("reasons")

// tasksNamed is how many tasks a reason names before it counts the rest.
const tasksNamed = 2

// A reason is why the jobs of a step are due by its inputs. It outlives the agent beside
// the record, since an attempt that goes on behind that finds no difference any more.
type reason struct {
	_msgpack struct{} `msgpack:",as_array"`

	Attempt uint64 // that has found it
	Text    string
}

// Why says for which required tasks jobs of the attempt have run, so far, also before an
// earlier agent ended; it is empty where they have not, or that is not known.
func (c *Course) Why() string {
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	if !c.ran || c.state.why.Attempt != c.attempt {
		return ""
	}
	return c.state.why.Text
}

// apply takes a note into account as [record.apply] does, and says why jobs are due. What
// it says is known from before where a note comes again.
func (st *stepState) apply(attempt uint64, n *note) (changed bool) {
	if n.Judged && n.Overtaken {
		if tasks := st.since(n.Inputs); len(tasks) > 0 {
			st.why = reason{Attempt: attempt, Text: whySince(tasks)}
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

// readReason reads the reason of a task's step, if there is one.
func readReason(tx *bolt.Tx, task string, why *reason) error {
	data := tx.Bucket(bucketReasons).Get([]byte(task))
	if data == nil {
		return nil
	}
	return msgpack.Unmarshal(data, why)
}

// writeReason writes it, or takes it away where it is nil.
func writeReason(tx *bolt.Tx, task string, data []byte) error {
	b := tx.Bucket(bucketReasons)
	if data == nil {
		return b.Delete([]byte(task))
	}
	return b.Put([]byte(task), data)
}
