/** Alerts that were raised: the row's id is what makes each one come once, whatever is restarted in between. */
import type { TablesDefinition } from '../../core/store.ts'

export const tables: TablesDefinition = {
  file: 'stockyard',
  migrations: [
    `CREATE TABLE budget_alerts (
       id TEXT PRIMARY KEY,
       at INTEGER NOT NULL,
       body TEXT NOT NULL,
       tries INTEGER NOT NULL DEFAULT 0,
       next_at INTEGER,
       sent_at INTEGER
     ) STRICT, WITHOUT ROWID;
     CREATE INDEX budget_alerts_due ON budget_alerts (next_at) WHERE next_at IS NOT NULL;`,
  ],
  statements: {
    raise:
      'INSERT INTO budget_alerts (id, at, body, next_at) VALUES (:id, :at, :body, :next_at) ON CONFLICT DO NOTHING',
    due: 'SELECT id, body, tries FROM budget_alerts WHERE next_at <= :now ORDER BY next_at LIMIT 20',
    sent: 'UPDATE budget_alerts SET sent_at = :now, next_at = NULL, tries = tries + 1 WHERE id = :id',
    failed: 'UPDATE budget_alerts SET tries = tries + 1, next_at = :next_at WHERE id = :id',
    forget: 'DELETE FROM budget_alerts WHERE at < :before AND next_at IS NULL',
    list: 'SELECT id, at, body, tries, sent_at FROM budget_alerts ORDER BY at DESC LIMIT :limit',
  },
}
