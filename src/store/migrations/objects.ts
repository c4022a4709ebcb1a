/**
 * The tables of objects.db: who made what at which upstream. In a file of its own, because a row is written for every
 * stored answer, and so without waiting for the disk.
 */
export const OBJECTS_MIGRATIONS: readonly string[] = [
  `CREATE TABLE objects (
     id TEXT NOT NULL,
     upstream TEXT NOT NULL,
     kind TEXT NOT NULL,
     scope TEXT NOT NULL,
     credential TEXT,
     model TEXT,
     made_at INTEGER NOT NULL,
     maker TEXT NOT NULL,
     facts TEXT,
     settled INTEGER NOT NULL DEFAULT 0,
     PRIMARY KEY (id, upstream)
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX objects_of ON objects (scope, upstream, kind, made_at);
   CREATE INDEX objects_open ON objects (kind, made_at) WHERE settled = 0;`,
  `CREATE INDEX objects_sealed ON objects (made_at) WHERE kind = 'sealed';`,
]
