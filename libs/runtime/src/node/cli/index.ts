export { printError, programVersion, runCommandLine } from './command-line.ts';
export { addConfigOptions, configFlags } from './config-options.ts';
