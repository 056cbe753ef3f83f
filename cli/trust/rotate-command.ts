/** `agent-anchor trust rotate`, and `keys rotate ca`, which is the same. */
import { type Command, Option } from 'commander'
import { type GlobalOptions, print, printJson, type Register } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { openKeysPlace } from '../keys/place.ts'
import { rotateAuthority, rotatedText, type Turn } from './rotate.ts'
import { storesWithOurs } from './stores.ts'

type RotateOptions = GlobalOptions & Partial<Record<Exclude<Turn, 'begin'>, true>>

/** @param command `trust` */
export function registerRotate(command: Command, act: Parameters<Register>[1]): void {
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

export async function rotateCa(options: RotateOptions): Promise<ExitCode> {
  const turn = (['switch', 'finish', 'abort'] as const).find((each) => options[each]) ?? 'begin'
  const place = await openKeysPlace(options, 'trust rotate')
  const rotated = await rotateAuthority(place, turn, await storesWithOurs(place.paths.caCertificate))
  if (options.json) printJson(rotated)
  else print(rotatedText(rotated, place.paths.caCertificate))
  return rotated.state === 'no-answer' || rotated.failed.length > 0 ? ExitCode.degraded : ExitCode.healthy
}
