package tables

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Query runs SQL on a database that [Load] has made, which it only reads. It calls
// header once with the names of the columns, and row with the values of each row: nil,
// int64, float64, string or bytes. What they return ends it.
func Query(ctx context.Context, path, text string, header func(columns []string) error, row func(values []any) error) (err error) {
	db, err := open(path, "ro", "query_only(1)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	conn, err := db.Conn(ctx)
	if err != nil {
		return errors.Join(ErrNotOurs, err)
	}
	defer conn.Close()
	// Otherwise ATTACH and VACUUM INTO make files, whatever the mode of this one.
	if _, err := sqlite.Limit(conn, sqlite3.SQLITE_LIMIT_ATTACHED, 0); err != nil {
		return err
	}
	var id int
	if err := conn.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil || id != applicationID {
		return errors.Join(ErrNotOurs, err)
	}
	rows, err := conn.QueryContext(ctx, text)
	if err != nil {
		return fmt.Errorf("query: %w", err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	if err := header(columns); err != nil {
		return err
	}
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if err := row(values); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("query: %w", err)
	}
	return nil
}

// Text writes a value of a row for people; NULL is a dash.
func Text(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []byte:
		return string(v)
	}
	return fmt.Sprint(v)
}

// A Row is written as a JSON object whose members are in the order of the columns.
type Row struct {
	Columns []string
	Values  []any
}

// MarshalJSON implements json.Marshaler. Of columns of the same name all are written.
func (r Row) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, name := range r.Columns {
		if i > 0 {
			out = append(out, ',')
		}
		key, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		v := r.Values[i]
		if b, ok := v.([]byte); ok {
			v = string(b)
		}
		value, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		out = append(append(append(out, key...), ':'), value...)
	}
	return append(out, '}'), nil
}
