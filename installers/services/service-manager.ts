/** What starts the gateway on a machine: one file a kind, this is what they have in common. */
import type { Config } from '../../daemon/config/config.ts'

export type Directories = Pick<Config, 'stateDir' | 'runtimeDir' | 'logDir'>

/** A file by which a service manager starts something: a unit, an init script. */
export interface Unit {
  readonly name: string
  readonly path: string
}

export interface ServiceManager {
  readonly name: 'systemd' | 'openrc' | 'none'
  /** In the order of their start: the fence, then the daemon; then what isn't started by itself. */
  readonly units: readonly Unit[]
  /** For the administrator, once the service stands. */
  readonly words: readonly string[]
  /** Writes the units and has them started at each boot. @returns whether one of them is another than before */
  install(directories: Directories): Promise<boolean>
  /** Writes anew what is installed, after what it hands to the daemon has changed. @returns false where nothing is */
  renew(directories: Directories): Promise<boolean>
  /** Stops what a unit started, and takes the unit away; does nothing where it isn't there. */
  remove(unit: Unit): Promise<void>
  /** Unit files were changed by somebody else. */
  reread(): Promise<void>
  /**
   * @returns whether the daemon has ended already, asked again and again
   * @throws InstallError DAEMON_DID_NOT_START
   */
  start(how: 'start' | 'restart'): Promise<() => boolean>
  /** Ends the daemon in order; does nothing where none runs. */
  stop(): Promise<void>
  /** The fence's unit counts as started too, for those who look: the daemon has raised what it would load. */
  startFence(): Promise<void>
}

/** The machine as these see it; a test gives its own. */
export interface ServiceHost {
  /** Before every path: empty, or a directory that holds a layout. */
  readonly root: string
  run(...argv: [string, ...string[]]): Promise<string>
  succeeds(...argv: [string, ...string[]]): Promise<boolean>
}
