package job

import (
	"crypto/sha3"
	"encoding/hex"
	"strconv"
	"strings"

	"quorate/internal/pyvalue"
)

// Fingerprint returns Directord's fingerprint of a job record: the SHA3-224, in
// lower-case hex, of its JSON text as Python writes it.
func Fingerprint(fields []Field) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, f := range fields {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(pyvalue.JSON(pyvalue.Str(f.Key)))
		b.WriteString(": ")
		b.WriteString(f.Value)
	}
	b.WriteByte('}')
	sum := sha3.Sum224([]byte(b.String()))
	return hex.EncodeToString(sum[:])
}

// Seal sets the job's fingerprint. Parse has called it; it is to be called again
// by whoever changes what the fingerprint depends on, such as Paths.
func (p *Parsed) Seal(d *Declaration) {
	fields := []Field{{Key: "verb", Value: pyvalue.JSON(pyvalue.Str(d.Verb))}}
	for _, name := range [...]string{"stdout-arg", "stderr-arg"} {
		if v, ok := p.Job.Option(name); ok {
			fields = append(fields, Field{
				Key:   strings.ReplaceAll(name, "-", "_"),
				Value: pyvalue.JSON(pyvalue.Str(v)),
			})
		}
	}
	if d.FingerprintKeys != nil {
		fields = append(fields, d.FingerprintKeys(p)...)
	}
	fields = append(fields,
		Field{Key: "timeout", Value: strconv.FormatUint(uint64(p.Job.TimeoutSeconds), 10)},
		Field{Key: "run_once", Value: strconv.FormatBool(p.RunOnce)})
	p.Job.Fingerprint = Fingerprint(fields)
}
