import { resolve } from 'node:path'

/**
 * Variables for a Node that finds the program's code compiled already. Each start strips the types of hundreds of files
 * and compiles them, which is half of what a short command costs. Unit tests fill the directory; a laboratory reads it.
 * What lies there is found by a hash of its source (NODE_COMPILE_CACHE in Node's manual), and git ignores it.
 */
export const compiledOf = (repository: string) => ({
  NODE_COMPILE_CACHE: `${repository}/test/.cache/compiled`,
  // The same for a repository that a laboratory has elsewhere.
  NODE_COMPILE_CACHE_PORTABLE: '1',
})

/** For processes that run where this one does. */
export const compiledCode = compiledOf(resolve(import.meta.dirname, '../..'))
