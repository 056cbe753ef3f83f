/**
 * launchd on macOS, which starts everything there: a job that sets the variables, as a daemon for what runs without a
 * session and as an agent for each session from its login on. What is set stays.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { removeFile } from '../../daemon/base/durable/files.ts'
import type { ClientVariable } from '../client-environment.ts'
import { writePublicFile } from '../public-file.ts'
import type { EnvironmentSink, Tool } from './environment-sink.ts'

const LABEL = 'com.agent-anchor.environment'
const DAEMON = `/Library/LaunchDaemons/${LABEL}.plist`
const AGENT = `/Library/LaunchAgents/${LABEL}.plist`

export function launchdSink(options: {
  variables: readonly ClientVariable[]
  run: Tool
  root?: string
}): EnvironmentSink {
  const { variables, run, root = '/' } = options
  const wanted = propertyList(variables)
  const read = (path: string) => readFile(join(root, path), 'utf8').catch(() => undefined)

  async function state() {
    const found = [await read(DAEMON), await read(AGENT)]
    if (found.every((text) => text === undefined)) return 'absent'
    return found.every((text) => text === wanted) ? 'set' : 'stale'
  }
  const boot = (how: 'bootstrap' | 'bootout') =>
    how === 'bootstrap' ? run('launchctl', how, 'system', DAEMON) : run('launchctl', how, `system/${LABEL}`)
  /** Resolves also where it isn't loaded. */
  const unload = () => boot('bootout').catch(() => {})

  return {
    name: 'launchd',
    reaches: 'launchd, sessions from their next login on',
    check: async () => ({ state: await state(), kept: [] }),
    async install() {
      if ((await state()) !== 'set') {
        await unload()
        for (const path of [DAEMON, AGENT])
          await writePublicFile(join(root, path), Buffer.from(wanted), { mode: 0o644 })
        await boot('bootstrap')
      }
      return { state: 'set', kept: [] }
    },
    async uninstall() {
      const text = await read(DAEMON)
      await unload()
      for (const path of [DAEMON, AGENT]) await removeFile(join(root, path))
      // What it set stays set until it is unset; what somebody else has set by now is theirs.
      for (const [, name, value] of text?.matchAll(SETS) ?? []) {
        if ((await run('launchctl', 'getenv', name!)).trim() === value)
          await run('launchctl', 'unsetenv', name!)
      }
    },
  }
}

const SETS = /launchctl setenv (\w+) '([^']*)'/g

/** launchd.plist(5); the values hold nothing that XML or the shell would take for its own (client-environment.ts). */
function propertyList(variables: readonly ClientVariable[]): string {
  const script = variables.map(
    ({ name, value }) => `[ -n "$(launchctl getenv ${name})" ] || launchctl setenv ${name} '${value}'`,
  )
  return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key><string>${LABEL}</string>
  <key>RunAtLoad</key><true/>
  <key>ProgramArguments</key>
  <array>
    <string>/bin/sh</string>
    <string>-c</string>
    <string>
${script.join('\n')}
    </string>
  </array>
</dict>
</plist>
`
}
