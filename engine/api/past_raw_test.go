package api

import (
	"encoding/binary"
	"testing"
)

// FuzzRaw: whatever an orchestrator answers either is refused or is records in order.
func FuzzRaw(f *testing.F) {
	one := binary.BigEndian.AppendUint64(nil, 7)
	one = append(one, make([]byte, 8+2+32)...)
	one = append(binary.BigEndian.AppendUint32(one, 2), "xy"...)
	f.Add(one)
	f.Add(one[:len(one)-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		records, err := parseRaw(b, 7)
		if err != nil {
			return
		}
		size := 0
		for i, rec := range records {
			if rec.Index != 7+uint64(i) {
				t.Errorf("record %d is in the place of %d", rec.Index, 7+i)
			}
			size += rawHeaderBytes + len(rec.Data)
		}
		if size != len(b) {
			t.Errorf("%d bytes were read of %d", size, len(b))
		}
	})
}
