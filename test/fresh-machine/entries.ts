/** The ways by which a user's agents come to run, each with the place from which its environment comes. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Outcome } from '../lab/process.ts'
import type { Machine } from './machine.ts'

/** Whose agents they are; made by the test, without a password. */
export const USER = 'alice'

export interface Entry {
  /** In reports, and in the targets of calls where `key` isn't given. */
  readonly name: string
  readonly key: string
  /** Which of the sinks reaches it. */
  readonly sink: string
  /** Has the shell command run there as the user; undefined where it will run by itself. */
  start(machine: Machine, command: string): Promise<Outcome | undefined>
}

const LONG = { timeoutMs: 240_000 }
const home = (machine: Machine) => join(machine.root(), 'home', USER)

export const ENTRIES: readonly Entry[] = [
  // First: it starts at the next full minute, while others run.
  {
    name: 'cron',
    key: 'cron',
    sink: '/etc/environment',
    async start(machine, command) {
      const table = join(machine.root(), 'etc/cron.d/agent')
      // Once, however many minutes pass.
      const once = `mkdir /var/tmp/cron-ran 2>/dev/null && ${command}`
      writeFileSync(table, `* * * * * ${USER} ${once}\n`, { mode: 0o644 })
      return undefined
    },
  },
  {
    name: '`su - user`',
    key: 'su-login',
    sink: '/etc/environment',
    start: (machine, command) => machine.run(['su', '-', USER, '-c', command], LONG),
  },
  {
    name: '`su user`',
    key: 'su',
    sink: '/etc/environment',
    start: (machine, command) => machine.run(['su', USER, '-c', command], LONG),
  },
  {
    name: '`sudo -u user`',
    key: 'sudo',
    sink: 'sudoers env_file',
    start: (machine, command) => machine.run(['sudo', '-u', USER, 'sh', '-c', command], LONG),
  },
  {
    name: '`sudo -i -u user`',
    key: 'sudo-login',
    sink: 'sudoers env_file',
    start: (machine, command) => machine.run(['sudo', '-i', '-u', USER, 'sh', '-c', command], LONG),
  },
  {
    name: 'ssh command',
    key: 'ssh',
    sink: '/etc/environment',
    start: (machine, command) => machine.run([...ssh, command], LONG),
  },
  {
    name: 'ssh login shell',
    key: 'ssh-login',
    sink: '/etc/environment',
    // As typed at a terminal.
    start: (machine, command) => machine.run([...ssh, '-tt'], { ...LONG, input: `${command}; exit\n` }),
  },
  {
    name: 'systemd service',
    key: 'service',
    sink: 'DefaultEnvironment',
    async start(machine, command) {
      const file = join(machine.root(), 'etc/systemd/system/agent.service')
      writeFileSync(file, `[Service]\nType=oneshot\nUser=${USER}\nExecStart=/bin/sh -c '${command}'\n`)
      await machine.run(['systemctl', 'daemon-reload'])
      return machine.run(['systemctl', 'start', 'agent.service'], LONG)
    },
  },
  {
    name: 'systemd user service',
    key: 'user-service',
    sink: 'environment.d',
    async start(machine, command) {
      const units = join(home(machine), '.config/systemd/user')
      mkdirSync(units, { recursive: true })
      writeFileSync(
        join(units, 'agent.service'),
        `[Service]\nType=oneshot\nExecStart=/bin/sh -c '${command}'\n`,
      )
      await machine.run(['loginctl', 'enable-linger', USER])
      return machine.run(
        ['su', '-', USER, '-c', 'XDG_RUNTIME_DIR=/run/user/$(id -u) systemctl --user start agent.service'],
        LONG,
      )
    },
  },
]

const KEY = '/root/.ssh/agent'
const ssh = [
  ...['ssh', '-q', '-i', KEY, '-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null'],
  `${USER}@127.0.0.1`,
]

/** What the entries take, as a machine's administrator would have it long before the gateway comes. */
export async function prepareEntries(machine: Machine): Promise<void> {
  const commands = [
    `useradd --create-home --shell /bin/bash ${USER}`,
    `mkdir -p -m 700 /root/.ssh && ssh-keygen -q -t ed25519 -N '' -f ${KEY}`,
    `install -d -m 700 -o ${USER} -g ${USER} /home/${USER}/.ssh`,
    `install -m 600 -o ${USER} -g ${USER} ${KEY}.pub /home/${USER}/.ssh/authorized_keys`,
  ]
  for (const command of commands) {
    const { code, stderr } = await machine.run(['sh', '-c', command])
    if (code !== 0) throw new Error(`${command}: ${stderr}`)
  }
}

/** So that no agent runs again. */
export function clearEntries(machine: Machine): void {
  rmSync(join(machine.root(), 'etc/cron.d/agent'), { force: true })
}
