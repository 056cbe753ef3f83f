import { readFileSync } from 'node:fs'
import { PATH } from './places.ts'
import type { User } from './users.ts'

/**
 * The environment of a user's fresh login: the machine-wide `/etc/environment` as pam_env reads it, and
 * what login itself sets. Nothing of the calling process's own.
 */
export function clientEnvironment(user: User, file = '/etc/environment'): Record<string, string> {
  return {
    PATH,
    LANG: 'C.UTF-8',
    ...parsePamEnvironment(readFileSync(file, 'utf8')),
    HOME: user.home,
    USER: user.name,
    LOGNAME: user.name,
  }
}

/**
 * pam_env's reading of an environment file (`_parse_env_file` in Linux-PAM's modules/pam_env/pam_env.c):
 * `#` ends a line anywhere, `export ` is skipped, a name is letters, digits and underscores, and a value
 * that begins with a quote loses it and a quote at its end.
 */
export function parsePamEnvironment(text: string): Record<string, string> {
  const variables: Record<string, string> = {}
  for (const line of text.split('\n')) {
    const assignment = line
      .replace(/^[ \t]+/, '')
      .replace(/#.*$/, '')
      .replace(/^export /, '')
      .replace(/[ \t]+$/, '')
    const match = /^(\w+)=(.*)$/.exec(assignment)
    if (match?.[1] === undefined || match[2] === undefined) continue
    variables[match[1]] = /^["']/.test(match[2]) ? match[2].slice(1).replace(/["']$/, '') : match[2]
  }
  return variables
}
