/** Text for a terminal: as for any screen. */
export { printable, printableJson, table } from '../daemon/base/printable.ts'
