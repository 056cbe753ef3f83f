/** The tree of the commit before this one, from which an upgrade starts. Taken outside of the laboratory, where git is. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { PATH } from '../lab/places.ts'

const repository = resolve(import.meta.dirname, '../..')
const PREVIOUS = 'test/.cache/previous'

export const previousTreeOf = (tree: string): string => join(tree, PREVIOUS)

/** @throws where there is no git history to take it from */
export function takePreviousTree(): void {
  const target = previousTreeOf(repository)
  // A clone may belong to somebody else than root.
  const git = ['-c', `safe.directory=${repository}`, '-C', repository]
  const commit = execFileSync('git', [...git, 'rev-parse', 'HEAD^1'], {
    env: { PATH },
    encoding: 'utf8',
  }).trim()
  if (existsSync(join(target, commit))) return
  rmSync(target, { recursive: true, force: true })
  mkdirSync(join(target, commit), { recursive: true })
  const archive = execFileSync('git', [...git, 'archive', commit], { env: { PATH }, maxBuffer: 1 << 28 })
  execFileSync('tar', ['-x', '-C', target], { env: { PATH }, input: archive })
}
