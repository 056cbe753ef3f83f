/** The bundle of this tree, which test/run makes: what machines without network install from. */
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { PATH } from '../lab/places.ts'

/** Below the repository, in a directory that git ignores. */
const BUNDLE = 'test/.cache/bundle.tar.gz'

/** Where a machine has it. */
export const ARCHIVE = '/var/tmp/bundle.tar.gz'

/** Not places.ts: the laboratory shows the repository elsewhere. */
const here = resolve(import.meta.dirname, '../..')

const archive = join(here, BUNDLE)

/** @throws where test/run has not made it */
export function requireBundle(): void {
  if (existsSync(archive)) return
  throw new Error(`${BUNDLE} is not made: run the test by ./test/run fresh-machine`)
}

/** Puts it on a machine's disk. @param inMachine a path of the machine, seen from here */
export function carryBundle(inMachine: (path: string) => string): void {
  for (const end of ['', '.sha256']) cpSync(`${archive}${end}`, inMachine(`${ARCHIVE}${end}`))
}

/** The Debian whose packages it carries, by its code name. */
export function bundledSuite(): string | undefined {
  const facts = execFileSync('tar', ['-xzOf', archive, '--occurrence=1', 'agent-anchor/BUNDLE'], {
    env: { PATH },
    encoding: 'utf8',
  })
  return /^codename: (.+)$/m.exec(facts)?.[1]
}
