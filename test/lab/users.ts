import { readFileSync } from 'node:fs'
import { LabError } from './lab-error.ts'

export interface User {
  readonly name: string
  readonly uid: number
  readonly gid: number
  readonly home: string
}

/** A user of the laboratory's own /etc/passwd: root, agent1, agent2, agent-anchor, agent-anchor-proxy. */
export function userNamed(name: string): User {
  for (const line of readFileSync('/etc/passwd', 'utf8').split('\n')) {
    const [found, , uid, gid, , home] = line.split(':')
    if (found === name) return { name, uid: Number(uid), gid: Number(gid), home: home ?? '/' }
  }
  throw new LabError('unknown-user', `no user ${name} in the laboratory`, 'Use agent1, agent2 or root.')
}
