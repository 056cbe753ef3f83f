/** What `--dry-run` prints is what an install then does: no more, no less. */
import t from 'tap'
import type { Outcome } from '../lab/process.ts'
import { type FreshDebian, said } from './fresh-debian.ts'
import { differences, stateOf } from './machine-state.ts'

/** Made on the way to what is told of: directories above it, the account files, and unit states. */
const FOLLOWS =
  /^[-+~] (\/etc\/(passwd|group|shadow|gshadow|subuid|subgid|agent-anchor)|\/usr\/local\/share\/(bash-completion|zsh|man)(\/(completions|site-functions|man8))?|\/var\/tmp.*|unit agent-anchor.*|rules|setting .*)$/
/** Left by the distribution's own tools as they work. */
const BOOKKEEPING =
  /^[-+~] \/(etc\/(ld\.so\.cache|\.pwd\.lock)|var\/log\/.*|usr\/local\/bin|etc\/environment\.d)$/

interface Told {
  readonly kind: string
  readonly where: string
}

function read(stdout: string): Told[] {
  return [...stdout.matchAll(/^(account|tree|file|derived|table) +(.+?): would be /gm)].map(
    ([, kind = '', where = '']) => ({ kind, where }),
  )
}

/**
 * @param options.install prints it
 * @param options.asUser installs
 */
export function dryRunTells(
  { machine, asRoot }: FreshDebian,
  options: { readonly install: string; readonly asUser: () => Promise<Outcome> },
): void {
  t.test('--dry-run tells what an install by a user with sudo then does, and changes nothing', async (t) => {
    const before = await stateOf(machine)
    const dry = await asRoot(options.install, '--dry-run')
    t.equal(dry.code, 0, said(dry))
    t.same(differences(before, await stateOf(machine)), [], 'nothing is changed')
    const told = read(dry.stdout)

    const outcome = await options.asUser()
    t.equal(outcome.code, 0, said(outcome))
    const after = await stateOf(machine)
    const all = differences(before, after)
    const isTold = (line: string) => {
      const path = line.slice(2)
      return told.some(({ kind, where }) =>
        // Directories above a file come with it.
        kind === 'file' ? `${where}/`.startsWith(`${path}/`) : `${path}/`.startsWith(`${where}/`),
      )
    }
    const changed = all.filter((line) => !FOLLOWS.test(line) && !BOOKKEEPING.test(line))
    t.same(
      changed.filter((line) => !isTold(line)),
      [],
      'nothing that was not told',
    )
    for (const { kind, where } of told) {
      if (kind === 'table') t.match(after.get('rules'), `table ${where}`, where)
      else if (kind === 'account') t.equal((await asRoot('id', where)).code, 0, where)
      // The best of what seals keys is taken: here systemd's.
      else if (!where.startsWith('/run/') && !where.endsWith('/host.key'))
        t.ok(
          all.some((line) => line.slice(2) === where || line.slice(2).startsWith(`${where}/`)),
          where,
        )
    }
  })
}
