/** `npm run prebuild [-- x64 | arm64 …]`: the addons that the package ships. */
import { type Architecture, architectures, prebuild } from './prebuilt-addons.js';

const wanted = process.argv.slice(2);
const isArchitecture = (name: string): name is Architecture =>
  (architectures as string[]).includes(name);
const unknown = wanted.filter((name) => !isArchitecture(name));
if (unknown.length > 0) {
  console.error(`No toolchain for ${unknown.join(', ')}; there are ${architectures.join(', ')}`);
  process.exit(2);
}
for (const each of wanted.length > 0 ? wanted.filter(isArchitecture) : architectures)
  await prebuild(each);
