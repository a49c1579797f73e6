import { render } from 'preact';
import { App } from './app';
import './style.css';
import { applyTheme, keptTheme } from './theme';

applyTheme(keptTheme());
render(<App />, document.getElementById('page')!);
