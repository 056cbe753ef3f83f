/** The tree of the commit before this one, from which an upgrade starts. Taken outside of the laboratory, where git is. */
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { PATH } from '../lab/places.ts'

const repository = resolve(import.meta.dirname, '../..')
/** An archive, so that no tool takes it for sources of ours. */
const PREVIOUS = 'test/.cache/previous.tar'

export const previousTreeOf = (tree: string): string => join(tree, PREVIOUS)

/** @throws where there is no git history to take it from */
export function takePreviousTree(): void {
  const target = previousTreeOf(repository)
  mkdirSync(dirname(target), { recursive: true })
  // A clone may belong to somebody else than root.
  const git = ['-c', `safe.directory=${repository}`, '-C', repository]
  execFileSync('git', [...git, 'archive', '--output', target, 'HEAD^1'], { env: { PATH } })
}
