/**
 * The sensor against a real kernel: this file runs itself again inside namespaces of its own, and from there in the
 * roles of senders and servers. Rules and captures of the machine are never touched.
 */
import { spawnSync } from 'node:child_process'
import { PATH } from './firewall/places.ts'

const script = import.meta.filename
const role = process.argv[2]

if (role === 'sender') (await import('./sensor/sender.ts')).runSender()
else if (role === 'servers') (await import('./sensor/servers.ts')).runServers()
else if (role === 'inside') await (await import('./sensor/behaviour.ts')).prove(script)
else process.exitCode = enterNamespaces()

function enterNamespaces(): number {
  const passed = Object.entries(process.env).filter(
    ([name]) => name.startsWith('TAP') || name.startsWith('_TAPJS'),
  )
  const own = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc']
  const { status, error } = spawnSync('unshare', [...own, process.execPath, script, 'inside'], {
    env: { ...Object.fromEntries(passed), PATH },
    stdio: 'inherit',
  })
  if (error) throw error
  return status ?? 1
}
