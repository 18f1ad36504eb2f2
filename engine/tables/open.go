package tables

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
)

// pageCacheKiB bounds what SQLite keeps of the file in memory.
const pageCacheKiB = 16 << 10

// open opens a database with one connection, in one of the modes of SQLite's addresses:
// ro, rw or rwc.
func open(path, mode string, pragmas ...string) (*sql.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	query := url.Values{"mode": {mode}, "_pragma": append(pragmas, fmt.Sprintf("cache_size(-%d)", pageCacheKiB))}
	address := url.URL{Scheme: "file", Path: abs, RawQuery: query.Encode()}
	db, err := sql.Open("sqlite", address.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// prepare makes the tables in an empty file, and otherwise wants them to be ours.
func prepare(ctx context.Context, db *sql.DB) (fresh bool, err error) {
	var id, version, objects int
	if err := db.QueryRowContext(ctx, "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema)").Scan(&id, &version, &objects); err != nil {
		return false, errors.Join(ErrNotOurs, err)
	}
	switch {
	case objects == 0 && id == 0:
		_, err := db.ExecContext(ctx, fmt.Sprintf("%sPRAGMA application_id = %d; PRAGMA user_version = %d;", schema, applicationID, Version))
		return true, err
	case id != applicationID:
		return false, ErrNotOurs
	case version != Version:
		return false, fmt.Errorf("%w: %d, and this program writes %d", ErrVersion, version, Version)
	}
	return false, nil
}
