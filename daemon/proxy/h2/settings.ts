/**
 * What one side's settings become for the other. Most are said by one end to the other and pass; what this hop itself
 * must hold to is bounded, and what it doesn't know is not passed on.
 */
import { DEFAULT_TABLE_SIZE } from '../../wire/hpack-dynamic-table.ts'
import { MAX_HEAD } from '../http/head.ts'
import { CODE, DEFAULT_FRAME_SIZE, SETTING } from './frame.ts'
import { FrameError } from './frame-error.ts'

export type Settings = readonly (readonly [id: number, value: number])[]

/** A frame is taken whole before it is passed on. */
export const MAX_FRAME_SIZE = 65_536
const LARGEST_FRAME_SIZE = 0xff_ffff
const MAX_WINDOW = 0x7fff_ffff

/** A provider must not push: nothing of it would be a call of the agent's. @throws FrameError */
export function settingsForProvider(agents: Settings): Settings {
  return [...passed(agents), [SETTING.enablePush, 0]]
}

/** Only a server may offer extended CONNECT. @throws FrameError */
export function settingsForAgent(providers: Settings): Settings {
  const tunnels = providers.filter(([id]) => id === SETTING.enableConnectProtocol)
  return [...passed(providers), ...tunnels]
}

/** The last value that was given; later ones count. */
export const settingOf = (settings: Settings, id: number): number | undefined =>
  settings.findLast(([one]) => one === id)?.[1]

function passed(settings: Settings): [number, number][] {
  return settings.flatMap(([id, value]): [number, number][] => {
    switch (id) {
      case SETTING.headerTableSize:
        return [[id, Math.min(value, DEFAULT_TABLE_SIZE)]]
      case SETTING.maxFrameSize:
        if (value < DEFAULT_FRAME_SIZE || value > LARGEST_FRAME_SIZE) throw wrong('MAX_FRAME_SIZE')
        return [[id, Math.min(value, MAX_FRAME_SIZE)]]
      case SETTING.initialWindowSize:
        if (value > MAX_WINDOW) throw wrong('INITIAL_WINDOW_SIZE', CODE.flowControlError)
        return [[id, value]]
      case SETTING.maxHeaderListSize:
        return [[id, Math.min(value, MAX_HEAD)]]
      case SETTING.maxConcurrentStreams:
      case SETTING.noPriorities:
        return [[id, value]]
      default:
        return []
    }
  })
}

const wrong = (what: string, code: number = CODE.protocolError) =>
  new FrameError(code, `${what} out of range`)
