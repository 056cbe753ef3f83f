/** The tree that upgrades start from. Taken outside of the laboratory, where git is. */
import { execFileSync } from 'node:child_process'
import { join, resolve } from 'node:path'
import { PATH } from '../lab/places.ts'

/** An archive, so that no tool takes it for sources of ours. */
export const previousTreeOf = (tree: string): string => join(tree, 'test/.cache/previous.tar')

export function takePreviousTree(): void {
  const tree = resolve(import.meta.dirname, '../..')
  const script = join(import.meta.dirname, 'previous-tree.sh')
  execFileSync(script, [tree, previousTreeOf(tree)], { env: { PATH }, stdio: 'inherit' })
}
