/** The bundle of this tree, which test/run makes: what machines without network install from. */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'

/** Below the repository, in a directory that git ignores. */
const BUNDLE = 'test/.cache/bundle.tar.gz'

export const bundleOf = (tree: string): string => join(tree, BUNDLE)

/** @throws where test/run has not made it */
export function requireBundle(): void {
  if (existsSync(bundleOf(resolve(import.meta.dirname, '../..')))) return
  throw new Error(`${BUNDLE} is not made: run the test by ./test/run fresh-machine`)
}
