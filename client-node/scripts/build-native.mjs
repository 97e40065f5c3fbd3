// Builds the native half with cargo and puts it where js/native.ts looks: oxmq.<platform>.node
// beside package.json. CARGO names another cargo; a target or further options follow `--`.
import { spawnSync } from 'node:child_process'
import { copyFileSync, renameSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values, positionals } = parseArgs({
  options: { profile: { type: 'string', default: 'release' } },
  allowPositionals: true,
})

const folder = dirname(dirname(fileURLToPath(import.meta.url)))
const built = spawnSync(
  process.env.CARGO ?? 'cargo',
  [
    'build', '--locked', '--package', 'oxmq-node', '--profile', values.profile,
    '--message-format', 'json-render-diagnostics', ...positionals,
  ],
  { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8', maxBuffer: 2 ** 28 },
)
if (built.error) throw built.error
if (built.status !== 0) process.exit(built.status ?? 1)

const library = built.stdout
  .split('\n')
  .filter((line) => line.startsWith('{'))
  .map((line) => JSON.parse(line))
  .filter((message) => message.reason === 'compiler-artifact' && message.target.name === 'oxmq_node')
  .flatMap((message) => message.filenames)
  .find((name) => /\.(so|dylib|dll)$/.test(name))
if (library === undefined) throw new Error('cargo built no library')

const name = join(folder, `oxmq.${process.platform}-${process.arch}.node`)
// Renamed into place: a process that has the old one loaded keeps it.
copyFileSync(library, `${name}.new`)
renameSync(`${name}.new`, name)
console.log(`built ${name}`)
