package yaml11

import (
	"strconv"
	"strings"
	"time"
)

// A Moment is the value of a timestamp.
type Moment struct {
	time.Time
	// DateOnly is true for a date, Zoned where the text names a zone; without one
	// the time is UTC's and means no particular moment.
	DateOnly, Zoned bool
}

// A stamp is a timestamp taken apart into its digits.
type stamp struct {
	year, month, day, hour, minute, second string
	fraction, zone                         string
	dateOnly                               bool
}

// cutTimestamp matches PyYAML's pattern: a date of 4-2-2 digits, or a date and a
// time with an optional fraction and zone.
func cutTimestamp(s string) (st stamp, ok bool) {
	if len(s) < 8 || spanOf(s, digits) != 4 || s[4] != '-' {
		return st, false
	}
	st.year, s = s[:4], s[5:]
	if st.month, s, ok = cutDigits(s, 2); !ok || !strings.HasPrefix(s, "-") {
		return st, false
	}
	if st.day, s, ok = cutDigits(s[1:], 2); !ok {
		return st, false
	}
	if s == "" {
		st.dateOnly = true
		return st, len(st.month) == 2 && len(st.day) == 2
	}
	if s[0] == 'T' || s[0] == 't' {
		s = s[1:]
	} else if n := spanOf(s, " \t"); n > 0 {
		s = s[n:]
	} else {
		return st, false
	}
	if st.hour, s, ok = cutDigits(s, 2); !ok {
		return st, false
	}
	for _, field := range []*string{&st.minute, &st.second} {
		if !strings.HasPrefix(s, ":") {
			return st, false
		}
		if *field, s, ok = cutDigits(s[1:], 2); !ok || len(*field) != 2 {
			return st, false
		}
	}
	if strings.HasPrefix(s, ".") {
		n := spanOf(s[1:], digits)
		st.fraction, s = s[1:1+n], s[1+n:]
	}
	if s == "" {
		return st, true
	}
	st.zone = strings.TrimLeft(s, " \t")
	return st, isZone(st.zone)
}

// cutDigits takes one to most digits off the front.
func cutDigits(s string, most int) (text, rest string, ok bool) {
	n := min(spanOf(s, digits), most)
	return s[:n], s[n:], n > 0
}

func isZone(s string) bool {
	if s == "Z" {
		return true
	}
	if s == "" || s[0] != '-' && s[0] != '+' {
		return false
	}
	_, rest, ok := cutDigits(s[1:], 2)
	if !ok || rest == "" {
		return ok
	}
	return len(rest) == 3 && rest[0] == ':' && spanOf(rest[1:], digits) == 2
}

// Moment is the value of a timestamp; ok is false for other nodes and for dates
// that no calendar has.
func (n *Node) Moment() (m Moment, ok bool) {
	st, ok := cutTimestamp(n.Text)
	if !ok || n.Kind != Scalar || n.Tag != Timestamp {
		return m, false
	}
	number := func(s string) int { v, _ := strconv.Atoi(s); return v }
	nanos := number((st.fraction + "000000")[:6]) * 1000 // to the microsecond, as Python
	year, month, day := number(st.year), number(st.month), number(st.day)
	hour, minute, second := number(st.hour), number(st.minute), number(st.second)
	if hour > 23 || minute > 59 || second > 59 || year < 1 {
		return m, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC)
	if t.Year() != year || int(t.Month()) != month || t.Day() != day {
		return m, false
	}
	m = Moment{Time: t, DateOnly: st.dateOnly, Zoned: st.zone != ""}
	if len(st.zone) > 1 {
		hours, minutes, _ := strings.Cut(st.zone[1:], ":")
		offset := (number(hours)*60 + number(minutes)) * 60
		if st.zone[0] == '-' {
			offset = -offset
		}
		zone := time.FixedZone("", offset)
		m.Time = time.Date(year, time.Month(month), day, hour, minute, second, nanos, zone)
	}
	return m, true
}
