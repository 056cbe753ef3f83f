import { resolve } from 'node:path'

/**
 * Variables for a Node of the tests' own that finds the program's code compiled already, and keeps what the tests add to
 * it: to strip and compile hundreds of files is half of what a short command costs. The directory is the one that the
 * program has of its installation (docs/decisions/061); a laboratory only reads it.
 */
export const compiledOf = (repository: string) => ({
  NODE_COMPILE_CACHE: `${repository}/.compile-cache`,
  NODE_COMPILE_CACHE_PORTABLE: '1',
})

/** For processes that run where this one does. */
export const compiledCode = compiledOf(resolve(import.meta.dirname, '../..'))
