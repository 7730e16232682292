export { printError, programVersion, runCommandLine } from './command-line.ts';
