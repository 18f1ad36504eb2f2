package eventlog

import (
	"testing"
)

func TestTailKeepsWhatIsStoredNowhereElse(t *testing.T) {
	tail := NewTail(Head{})
	var head Head
	const n = 2*tailRecordsMax + 10
	for range n / 1000 {
		var records []Record
		for range 1000 {
			records = append(records, head.Next(Entry{Kind: KindRunEnded, Data: []byte{1}}))
		}
		tail.Append(records)
	}
	if page, held := tail.Read(1, 1); !held || len(page) != 1 {
		t.Fatal("a record that is not stored was dropped")
	}
	if got := len(tail.Unstored()); uint64(got) != head.Index {
		t.Fatalf("%d records not stored of %d", got, head.Index)
	}
	tail.Stored(head.Index - 5)
	if got := tail.Unstored(); len(got) != 5 || got[0].Index != head.Index-4 {
		t.Fatalf("%d records not stored", len(got))
	}
	if _, held := tail.Read(1, 1); held {
		t.Fatal("everything is kept in memory for ever")
	}
	if page, held := tail.Read(head.Index-100, 1000); !held || len(page) != 101 || page[100].Index != head.Index {
		t.Fatalf("the newest records are not in memory: %d, %v", len(page), held)
	}
	if len(tail.records) > tailRecordsMax {
		t.Fatalf("%d records in memory", len(tail.records))
	}
	tail.Reset(Head{Index: 7})
	if _, held := tail.Read(7, 1); held || tail.Head().Index != 7 || len(tail.Unstored()) != 0 {
		t.Fatal("reset kept something")
	}
}

func TestTailPagesAreBoundedInBytes(t *testing.T) {
	tail := NewTail(Head{})
	var head Head
	for range 5 {
		tail.Append([]Record{head.Next(Entry{Kind: KindRunEnded, Data: make([]byte, PageBytesMax/2)})})
	}
	if page, _ := tail.Read(1, 10); len(page) != 2 {
		t.Fatalf("a page of %d halves", len(page))
	}
}
