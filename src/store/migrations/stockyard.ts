/**
 * The core's own tables in stockyard.db: configuration revisions, administrative facts, the directory's
 * rows, the record of changes, sealed secrets.
 * Applied in order, each in its own transaction; a released step is never edited, only followed by another.
 */
export const STOCKYARD_MIGRATIONS: readonly string[] = [
  `CREATE TABLE revisions (
     id INTEGER PRIMARY KEY,
     at INTEGER NOT NULL,
     actor TEXT NOT NULL,
     action TEXT NOT NULL,
     before TEXT NOT NULL,
     after TEXT NOT NULL,
     configuration TEXT NOT NULL
   ) STRICT;
   CREATE TRIGGER revisions_keep BEFORE UPDATE ON revisions BEGIN SELECT RAISE(ABORT, 'revisions is append-only'); END;
   CREATE TRIGGER revisions_stay BEFORE DELETE ON revisions BEGIN SELECT RAISE(ABORT, 'revisions is append-only'); END;

   CREATE TABLE directory (
     name TEXT PRIMARY KEY,
     value TEXT NOT NULL,
     version INTEGER NOT NULL
   ) STRICT;
   CREATE TABLE directory_changes (
     id INTEGER PRIMARY KEY,
     at INTEGER NOT NULL,
     actor TEXT NOT NULL,
     action TEXT NOT NULL,
     object TEXT NOT NULL,
     before TEXT,
     after TEXT
   ) STRICT;
   CREATE TRIGGER directory_changes_keep BEFORE UPDATE ON directory_changes
     BEGIN SELECT RAISE(ABORT, 'directory_changes is append-only'); END;
   CREATE TRIGGER directory_changes_stay BEFORE DELETE ON directory_changes
     BEGIN SELECT RAISE(ABORT, 'directory_changes is append-only'); END;

   CREATE TABLE secrets (
     owner TEXT NOT NULL,
     name TEXT NOT NULL,
     key_id TEXT NOT NULL,
     nonce BLOB NOT NULL,
     sealed BLOB NOT NULL,
     updated_at INTEGER NOT NULL,
     PRIMARY KEY (owner, name)
   ) STRICT;

   CREATE TABLE facts (
     name TEXT PRIMARY KEY,
     value ANY
   ) STRICT;`,
  `CREATE TABLE directory_rows (
     kind TEXT NOT NULL,
     id TEXT NOT NULL,
     organization TEXT,
     team TEXT,
     user TEXT,
     anchor TEXT,
     name TEXT,
     subject TEXT,
     value TEXT NOT NULL,
     proof TEXT,
     version INTEGER NOT NULL,
     created_at INTEGER NOT NULL,
     updated_at INTEGER NOT NULL,
     PRIMARY KEY (kind, id)
   ) STRICT;
   CREATE INDEX directory_rows_organization ON directory_rows (kind, organization, id) WHERE organization IS NOT NULL;
   CREATE INDEX directory_rows_team ON directory_rows (kind, team, id) WHERE team IS NOT NULL;
   CREATE INDEX directory_rows_user ON directory_rows (kind, user, id) WHERE user IS NOT NULL;
   CREATE INDEX directory_rows_anchor ON directory_rows (kind, anchor, id) WHERE anchor IS NOT NULL;
   CREATE INDEX directory_rows_name ON directory_rows (kind, name) WHERE name IS NOT NULL;
   CREATE UNIQUE INDEX directory_rows_email ON directory_rows (name) WHERE kind = 'user' AND name IS NOT NULL;
   CREATE UNIQUE INDEX directory_rows_subject ON directory_rows (subject) WHERE subject IS NOT NULL;`,
  // How a change came about, as JSON: request id, source address, on whose behalf, reason.
  `ALTER TABLE revisions ADD COLUMN context TEXT;
   ALTER TABLE directory_changes ADD COLUMN context TEXT;`,
]
