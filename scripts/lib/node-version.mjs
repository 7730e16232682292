// Imported first by every command: a Node that is too old is refused with words instead of a stack trace.
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(
    `This needs Node 20.19 or newer; ${process.execPath} is ${process.version}. Install a newer Node (https://nodejs.org) and try again.`,
  );
  process.exit(1);
}
