/** Other processes of the laboratory, by proc(5). */
import { readdirSync, readFileSync } from 'node:fs'

export interface Process {
  readonly pid: number
  readonly name: string
}

/** The children of a process. */
export function childrenOf(parent: number): Process[] {
  return readdirSync('/proc').flatMap((entry) => {
    const pid = Number(entry)
    const stat = Number.isInteger(pid) ? statOf(pid) : undefined
    return stat?.parent === parent ? [{ pid, name: stat.name }] : []
  })
}

/** Undefined where it is gone. */
function statOf(pid: number): { readonly name: string; readonly parent: number } | undefined {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    return undefined
  }
  // The name in parentheses may hold anything.
  const end = text.lastIndexOf(')')
  return { name: text.slice(text.indexOf('(') + 1, end), parent: Number(text.slice(end + 2).split(' ')[1]) }
}
