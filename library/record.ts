/** The record's schema for other programs, and its types. As JSON Schema: record.schema.json. */
export {
  type Agent,
  type AuditRecord,
  type ExchangeRecord,
  type GapRecord,
  type LeakRecord,
  LogRecord,
  MAX_LEAF,
  type Part,
  type RefusalRecord,
} from '../daemon/recorder/record.ts'
export { type NamedPart, type PartName, partsOf } from '../daemon/recorder/record-parts.ts'
