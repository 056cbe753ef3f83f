/**
 * Makes `verify.html`: the page, its style and its code in one file whose policy allows just these. The file is
 * committed, and a test proves that this makes exactly it. `npm run build:page`.
 */
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { build } from 'esbuild'

const here = import.meta.dirname
export const PAGE_FILE = join(here, 'verify.html')

const read = (name: string) => readFileSync(join(here, name), 'utf8')
const hashOf = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`

/** The whole page. */
export async function pageText(): Promise<string> {
  const script = await bundled('page/main.ts')
  const style = await bundled('page.css')
  const { version } = JSON.parse(readFileSync(resolve(here, '../../package.json'), 'utf8')) as {
    version: string
  }
  const policy = [
    "default-src 'none'",
    `script-src ${hashOf(script)}`,
    `style-src ${hashOf(style)}`,
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; ')
  const parts: Readonly<Record<string, string>> = { policy, style, script, version }
  return read('page.html').replace(/\{\{(\w+)\}\}/g, (_, name: string) => parts[name]!)
}

async function bundled(name: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [join(here, name)],
    absWorkingDir: here,
    bundle: true,
    minify: true,
    write: false,
    format: 'iife',
    platform: 'browser',
    target: ['chrome123', 'firefox128', 'safari17.5'],
    charset: 'ascii',
    legalComments: 'none',
    logLevel: 'error',
  })
  const text = outputFiles[0]!.text
  // It stands between tags: what would end them is no code of ours.
  if (/<\/(?:script|style)|<!--/i.test(text)) throw new Error(`${name} holds what ends its element`)
  return text
}

if (import.meta.main) writeFileSync(PAGE_FILE, await pageText())
