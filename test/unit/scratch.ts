import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'

/** A directory of a test file's own, which goes when the file has run. */
export function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), 'agent-anchor-test-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}
