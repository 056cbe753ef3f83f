/** `agent-anchor trust …`: what this machine's programs are to trust. */

import { Option } from 'commander'
import { type GlobalOptions, print, printJson, type Register } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { openKeysPlace } from '../keys/place.ts'
import { type Rotated, rotateAuthority, rotatedText, type Turn } from '../trust/rotate.ts'
import { storesWithOurs } from '../trust/stores.ts'

type RotateOptions = GlobalOptions & Partial<Record<Exclude<Turn, 'begin'>, true>>

export const trust: Register = (program, act) => {
  const command = program.command('trust').description("what this machine's programs are to trust")

  command
    .command('rotate')
    .description('put a new CA in the place of one, with a time in which both are trusted')
    .addOption(new Option('--switch', 'the successor signs from now on').conflicts(['finish', 'abort']))
    .addOption(
      new Option('--finish', 'the former CA goes: its key, and its place in the stores').conflicts('abort'),
    )
    .addOption(new Option('--abort', 'the successor goes, and the CA is what it was'))
    .action(act((options) => rotateCa(options)))
}

/** Also what `keys rotate ca` does: there is one way. */
export async function rotateCa(options: RotateOptions): Promise<ExitCode> {
  const turn = (['switch', 'finish', 'abort'] as const).find((each) => options[each]) ?? 'begin'
  const place = await openKeysPlace(options, 'trust rotate')
  const rotated = await rotateAuthority(place, turn, await storesWithOurs(place.paths.caCertificate))
  if (options.json) printJson(rotated)
  else print(rotatedText(rotated, place.paths.caCertificate))
  return codeOf(rotated)
}

const codeOf = ({ state }: Rotated): ExitCode =>
  state === 'no-answer' ? ExitCode.degraded : ExitCode.healthy
