import { render } from 'preact';
import { App } from './app';
import './style/page.css';
import './style/explore.css';
import './style/debugger.css';
import { applyTheme, keptTheme } from './theme';

applyTheme(keptTheme());
render(<App />, document.getElementById('page')!);
