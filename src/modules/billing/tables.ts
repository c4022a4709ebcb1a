/**
 * Statements that were frozen, meter events on their way, and signatures that were used. A statement is never changed and
 * never removed, and its number is the next one, which the table itself sees to.
 */
import type { TablesDefinition } from '../../core/store.ts'

export const tables: TablesDefinition = {
  file: 'stockyard',
  migrations: [
    `CREATE TABLE billing_statements (
       number INTEGER PRIMARY KEY,
       account TEXT NOT NULL,
       month TEXT NOT NULL,
       period_to INTEGER NOT NULL,
       through INTEGER NOT NULL,
       content TEXT NOT NULL,
       hash TEXT NOT NULL,
       frozen_at INTEGER NOT NULL,
       actor TEXT NOT NULL,
       UNIQUE (account, month)
     ) STRICT;
     CREATE TRIGGER billing_statements_count BEFORE INSERT ON billing_statements
       WHEN NEW.number IS NOT (SELECT coalesce(max(number), 0) + 1 FROM billing_statements)
       BEGIN SELECT RAISE(ABORT, 'statements are numbered without gaps'); END;
     CREATE TRIGGER billing_statements_keep BEFORE UPDATE ON billing_statements
       BEGIN SELECT RAISE(ABORT, 'a frozen statement stays as it is'); END;
     CREATE TRIGGER billing_statements_stay BEFORE DELETE ON billing_statements
       BEGIN SELECT RAISE(ABORT, 'a frozen statement stays'); END;

     CREATE TABLE billing_meter_events (
       identifier TEXT PRIMARY KEY,
       account TEXT NOT NULL,
       customer TEXT NOT NULL,
       event_name TEXT NOT NULL,
       at INTEGER NOT NULL,
       through INTEGER NOT NULL,
       value INTEGER NOT NULL,
       total_charged INTEGER NOT NULL,
       total_value INTEGER NOT NULL,
       tries INTEGER NOT NULL DEFAULT 0,
       first_try_at INTEGER,
       next_at INTEGER,
       sent_at INTEGER,
       problem TEXT
     ) STRICT, WITHOUT ROWID;
     CREATE INDEX billing_meter_events_due ON billing_meter_events (next_at) WHERE next_at IS NOT NULL;
     CREATE INDEX billing_meter_events_account ON billing_meter_events (account, through);

     CREATE TABLE billing_signatures (hash TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;`,
  ],
  statements: {
    freeze: `INSERT INTO billing_statements (number, account, month, period_to, through, content, hash, frozen_at, actor)
      VALUES (:number, :account, :month, :period_to, :through, :content, :hash, :frozen_at, :actor)`,
    lastNumber: 'SELECT coalesce(max(number), 0) AS number FROM billing_statements',
    lastOf: `SELECT number, month, period_to, through FROM billing_statements WHERE account = :account
      ORDER BY number DESC LIMIT 1`,
    before: `SELECT period_to, through FROM billing_statements WHERE account = :account AND number < :number
      ORDER BY number DESC LIMIT 1`,
    ofMonth: 'SELECT * FROM billing_statements WHERE account = :account AND month = :month',
    byNumber: 'SELECT * FROM billing_statements WHERE number = :number',
    list: `SELECT number, account, month, content, hash, frozen_at, actor FROM billing_statements
      WHERE (:account IS NULL OR account = :account) AND number < coalesce(:before, 9e15) ORDER BY number DESC LIMIT :limit`,

    lastRound: 'SELECT max(through) AS through FROM billing_meter_events',
    // The columns beside max() are those of its row.
    totals: `SELECT account, total_charged, total_value, max(through) FROM billing_meter_events GROUP BY account`,
    // One statement, so that a crash leaves all of a round or nothing.
    round: `INSERT INTO billing_meter_events
        (identifier, account, customer, event_name, at, through, value, total_charged, total_value, next_at)
      SELECT e.value ->> '$.identifier', e.value ->> '$.account', e.value ->> '$.customer', :event_name, :at, :through,
        CAST(e.value ->> '$.value' AS INTEGER), CAST(e.value ->> '$.totalCharged' AS INTEGER),
        CAST(e.value ->> '$.totalValue' AS INTEGER), CASE WHEN e.value ->> '$.value' = '0' THEN NULL ELSE :at END
      FROM json_each(:events) AS e WHERE true ON CONFLICT DO NOTHING`,
    due: `SELECT identifier, customer, event_name, at, value, tries, first_try_at FROM billing_meter_events
      WHERE next_at <= :now ORDER BY next_at, identifier LIMIT 50`,
    tried: `UPDATE billing_meter_events SET tries = tries + 1, first_try_at = coalesce(first_try_at, :now)
      WHERE identifier = :identifier`,
    sent: 'UPDATE billing_meter_events SET sent_at = :now, next_at = NULL, problem = NULL WHERE identifier = :identifier',
    failed: 'UPDATE billing_meter_events SET next_at = :next_at, problem = :problem WHERE identifier = :identifier',
    resume: `UPDATE billing_meter_events SET next_at = :now, first_try_at = NULL WHERE identifier = :identifier
      AND sent_at IS NULL AND value <> 0`,
    meterEvents: `SELECT identifier, account, customer, at, value, tries, sent_at, next_at, problem
      FROM billing_meter_events WHERE value <> 0 ORDER BY at DESC, identifier LIMIT :limit`,
    forgetEvents: `DELETE FROM billing_meter_events AS e WHERE at < :before AND next_at IS NULL AND problem IS NULL
      AND through < (SELECT max(through) FROM billing_meter_events AS n WHERE n.account = e.account)`,

    sign: 'INSERT INTO billing_signatures (hash, at) VALUES (:hash, :at) ON CONFLICT DO NOTHING',
    forgetSignatures: 'DELETE FROM billing_signatures WHERE at < :before',
  },
}
